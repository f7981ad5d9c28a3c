//! Kernels as users see them, and the requests that import them.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{InvalidName, KernelName};

/// One kernel: an uncompressed image with the modules that a guest needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Kernel {
    /// Its name.
    pub name: KernelName,
    /// The kernel's own version string.
    pub version: String,
    /// Digest of the uncompressed image (`sha256:…`).
    pub digest: String,
    /// Its origin.
    pub source: String,
    /// Size of the uncompressed image in bytes.
    pub image_bytes: u64,
    /// Modules that are loaded at boot, in order.
    pub modules: Vec<String>,
    /// The modules that guests find at `/lib/modules`; absent for a kernel that has none, or that was imported by a banger
    /// that did not keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_modules: Option<GuestModules>,
    /// Number of VMs that boot it.
    pub used_by: u64,
    /// True when it is the default kernel of new VMs.
    pub default: bool,
    /// Time of its import.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// Reason why it cannot be used: its record in the store is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The modules of a kernel that guests load from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestModules {
    /// Number of modules.
    pub count: u64,
    /// Size of their file system in bytes; all VMs of the kernel share it.
    pub bytes: u64,
    /// Number of modules that were left out, of a large kernel.
    pub left_out: u64,
    /// The folders of drivers that were left out: `drivers/gpu`, …
    pub left_out_folders: Vec<String>,
}

/// Origin of a kernel to import. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum KernelSource {
    /// A Debian kernel package file.
    Deb {
        /// Its path.
        path: String,
    },
    /// A directory with an image (`vmlinux`, `vmlinuz*` or `bzImage`) and its modules.
    Dir {
        /// Its path.
        path: String,
    },
    /// A bare vmlinux or bzImage, with or without a modules directory.
    Image {
        /// Its path.
        path: String,
        /// Directory of its modules (the one that holds `modules.dep`).
        modules: Option<String>,
    },
    /// The kernel that this host runs, from `/boot` and `/lib/modules`.
    Host,
    /// Debian's cloud kernel, fetched by the host's own apt.
    Default,
}

/// Choice of a VM's kernel: one of the host's by its name, or the one that is installed in the VM's own root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KernelChoice {
    /// A kernel of the host's.
    Named(KernelName),
    /// The kernel of the VM's root: the image's, or a newer one that was installed there. Written `image`.
    Image,
}

impl KernelChoice {
    /// The word for [`KernelChoice::Image`], which no kernel is called.
    pub const IMAGE: &'static str = "image";
}

impl std::str::FromStr for KernelChoice {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            Self::IMAGE => Ok(Self::Image),
            name => name.parse().map(Self::Named),
        }
    }
}

impl TryFrom<String> for KernelChoice {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::fmt::Display for KernelChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name.as_str()),
            Self::Image => f.write_str(Self::IMAGE),
        }
    }
}

impl From<KernelChoice> for String {
    fn from(choice: KernelChoice) -> Self {
        choice.to_string()
    }
}

/// Import a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportKernel {
    /// Its name; the kernel's version when absent.
    #[serde(default)]
    pub name: Option<KernelName>,
    /// Its origin.
    pub source: KernelSource,
    /// Keep all modules of a kernel with 2000 of them or more; otherwise drivers for hardware that no guest has are left out.
    #[serde(default)]
    pub all_modules: bool,
}
