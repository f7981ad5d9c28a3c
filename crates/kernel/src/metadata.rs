//! `kernel.json`: what an imported kernel is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use banger_durable::Description;
use serde::{Deserialize, Serialize};

use crate::error::KernelError;
use crate::modules::{Availability, Capability};

/// Version of the folder's format that this code writes. Older ones are read; newer ones are refused.
pub const FORMAT: u32 = 1;
/// The unpacked kernel.
pub const VMLINUX: &str = "vmlinux";
/// The packed kernel, kept only where QEMU cannot boot the unpacked one.
pub const BZIMAGE: &str = "bzImage";
/// The folder of module files.
pub const MODULES: &str = "modules";
/// The file system of all modules.
pub const MODULES_DISK: &str = "modules.ext4";
/// The description, written last: a folder without it is not an imported kernel.
pub const METADATA: &str = "kernel.json";

/// An imported kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMetadata {
    /// Version of this format.
    pub format: u32,
    /// As `uname -r` shows it.
    pub release: String,
    /// The first line of its boot log.
    pub banner: String,
    /// Origin.
    pub source: KernelOrigin,
    /// `sha256:…` over the digests of the image, the modules and their disk: two imports of one kernel have the same.
    pub digest: String,
    /// The ELF image.
    pub vmlinux: FileRecord,
    /// The packed image, when QEMU must boot that one (see [`KernelMetadata::qemu_image`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bzimage: Option<FileRecord>,
    /// Physical address at which QEMU enters the ELF image; absent when it has no PVH note.
    pub pvh_entry: Option<u64>,
    /// Ways in which it provides what guests need.
    pub capabilities: BTreeMap<Capability, Availability>,
    /// True when it finds virtio-mmio devices on its command line (`CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES`), and not only
    /// through ACPI; `None` when its configuration is not known.
    pub virtio_mmio_cmdline: Option<bool>,
    /// True when it refuses modules without a valid signature (`CONFIG_MODULE_SIG_FORCE`); `None` when its
    /// configuration is not known.
    pub module_signatures_forced: Option<bool>,
    /// The modules of its initramfs in load order.
    pub modules: Vec<ModuleRecord>,
    /// All modules of the kernel, for guests to load from; `None` when it has none, or was imported by a banger that
    /// did not keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules_disk: Option<ModulesDisk>,
    /// Warnings before it is booted.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Origin of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelOrigin {
    /// `deb`, `directory`, `image` or `host`.
    pub kind: String,
    /// The path on this host at the time.
    pub path: String,
    /// `sha256:…` of the kernel image as it was found there, packed or not.
    pub image_digest: String,
}

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path in the folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// `sha256:…` of its content.
    pub digest: String,
}

/// A module of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleRecord {
    /// Its name, with underscores.
    pub name: String,
    /// Capabilities that it is loaded for: a guest that needs none of these need not load it.
    pub serves: BTreeSet<Capability>,
    /// The file.
    #[serde(flatten)]
    pub file: FileRecord,
}

/// The file system that guests see at `/lib/modules/<release>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesDisk {
    /// Number of modules.
    pub modules: u64,
    /// Modules that were not taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// The file.
    #[serde(flatten)]
    pub file: FileRecord,
}

/// Modules that were left out of a large kernel's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Number of modules, those included that need one of them.
    pub modules: u64,
    /// The folders that they are from: `drivers/gpu`, …
    pub folders: Vec<String>,
}

impl Description for KernelMetadata {
    const FILE: &'static str = METADATA;
    const FORMAT: u32 = FORMAT;

    fn format(&self) -> u32 {
        self.format
    }
}

impl KernelMetadata {
    /// Reads the description of an imported kernel.
    ///
    /// # Errors
    /// The folder holds no imported kernel, or one of a newer format.
    pub fn read(folder: &Path) -> Result<Self, KernelError> {
        Ok(banger_durable::read_description(folder)?)
    }

    /// The file that QEMU boots: the unpacked image where it has a PVH entry, else the packed one; `None` when there is
    /// neither, and only Firecracker can boot it.
    #[must_use]
    pub fn qemu_image(&self) -> Option<&str> {
        match (self.pvh_entry, &self.bzimage) {
            (Some(_), _) => Some(&self.vmlinux.file),
            (None, Some(bzimage)) => Some(&bzimage.file),
            (None, None) => None,
        }
    }

    /// Tells whether guests may count on a capability.
    #[must_use]
    pub fn provides(&self, capability: Capability) -> bool {
        self.capabilities
            .get(&capability)
            .is_some_and(|availability| availability.usable())
    }
}
