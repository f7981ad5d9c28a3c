//! Knowledge of the surroundings that requests need beyond the steps of plans. The daemon and a proof implement it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use banger_api::image::ImageDetails;
use banger_api::kernel::GuestModules;
use banger_api::pull::PullImage;
use banger_api::vm::{Egress, NetMode, NetStack};
use banger_api::{ApiError, ByteSize, ContentDigest, EngineName};
use banger_egress::{Policy, Rule, SetName};
use banger_engine::{Accel, VmmSpec};
use banger_net_control::{NetIdentity, Publish};
use banger_ops::{ContainerAt, GuestDefaults, HostResult, ImageSource, Plan, TemplateFiles};
use banger_secret::{SecretName, SecretUse};
use banger_store::VmRecord;

use crate::template::{Template, TemplateRules, Wanted};
use crate::{Control, Running};

/// Defaults of VMs that the user has configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmDefaults {
    /// Image of VMs that name none.
    pub image: Option<String>,
    /// Virtual CPUs.
    pub vcpu: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u32>,
    /// Size of the work disk.
    pub disk: Option<ByteSize>,
    /// Size of the system overlay.
    pub overlay: Option<ByteSize>,
    /// Their network.
    pub net: Option<NetMode>,
    /// Carrier of their packets.
    pub stack: Option<NetStack>,
    /// Addresses that they may reach.
    pub egress: Option<Egress>,
    /// Rules of what they may reach besides.
    pub allow: Vec<String>,
    /// Rules of what they may not reach.
    pub deny: Vec<String>,
    /// The name server that network processes ask instead of the host's.
    pub name_server: Option<std::net::IpAddr>,
}

/// The size of the host; 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSize {
    /// Its CPUs.
    pub cpus: u32,
    /// Its memory in MiB.
    pub memory_mib: u64,
}

/// Files that a VMM boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFiles {
    /// The kernel's image for the engine.
    pub kernel: PathBuf,
    /// The initramfs with this build's agent, which may not be there yet.
    pub initramfs: PathBuf,
    /// SHA-256 of its image's file as it was imported, packed or not, in hexadecimal digits.
    pub image_sha256: String,
    /// The file system of its modules, when it has one.
    pub modules: Option<PathBuf>,
    /// Way in which the guest's instructions run: KVM or emulation.
    pub accel: Accel,
}

/// Defaults of an image for its VMs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// Variables, user, directory and command.
    pub guest: GuestDefaults,
    /// Words of the kernel's command line that its VMs need.
    pub kernel_words: Vec<String>,
}

/// A file of an image, which several images may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileUse {
    /// Identity of the file: equal for the same file.
    pub id: (u64, u64),
    /// Bytes that it takes on the disk.
    pub bytes: u64,
}

/// The container image that an image was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOrigin {
    /// The whole reference, or the path.
    pub reference: String,
    /// Digest of its manifest.
    pub manifest: String,
}

/// A container image that was fetched, or lay on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its present place: the cache, or a path.
    pub at: ContainerAt,
    /// Digest of the index that led to it.
    pub index: Option<String>,
}

/// A container image that is to be pulled; the request for it was checked.
pub trait Fetch: Send {
    /// The name of the container image from now on.
    fn reference(&self) -> &str;

    /// Keeps the fetched blobs from being pruned until the answer is dropped. Blocks.
    ///
    /// # Errors
    /// `cancelled`; the cache's.
    fn hold(&self, op: &Running) -> Result<Box<dyn Send>, ApiError>;

    /// Fetches it, unless it is the one with the manifest `known`. Blocks.
    ///
    /// # Errors
    /// The registry's.
    fn fetch(&self, known: Option<&str>, op: &Running) -> Result<Fetched, ApiError>;

    /// Digest of the manifest of a fetched container image.
    ///
    /// # Errors
    /// It cannot be read.
    fn manifest(&self, at: &ContainerAt) -> Result<String, ApiError>;
}

/// The surroundings of a control plane. A function only looks, unless its comment says otherwise.
///
/// # Errors
/// Each names its object and the cause.
pub trait Environment: Send + Sync {
    /// The engine that new VMs get, by its name.
    fn engine(&self) -> EngineName;

    /// The host's size.
    fn host_size(&self) -> HostSize;

    /// Tells whether each VMM gets a user of the host of its own: the daemon is root, and a jail is wanted.
    fn vmms_have_users(&self) -> bool;

    /// Tells whether the engine links guests to network processes.
    fn has_net_links(&self) -> bool;

    /// Tells whether a path that a user has named exists.
    fn is_there(&self, path: &Path) -> bool;

    /// Bytes that a file takes on the disk; 0 when it is not there.
    fn allocated_bytes(&self, path: &Path) -> u64;

    /// The last lines of a console log, fit to be shown.
    fn console_tail(&self, log: &Path, lines: usize) -> String;

    /// The user's wishes about templates. Surroundings without them have none made and none used.
    fn templates(&self) -> TemplateRules {
        TemplateRules::OFF
    }

    /// All of a machine that must be the same where a guest that was saved in it goes on; `None` where none is saved.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn saved_key(&self, spec: &VmmSpec) -> HostResult<Option<String>> {
        let _ = spec;
        Ok(None)
    }

    /// A template by its files; `None` when it is not there, or cannot be read.
    fn template(&self, key: &ContentDigest, files: &TemplateFiles) -> Option<Template> {
        let _ = (key, files);
        None
    }

    /// Notes that a VM wakes from a template.
    fn template_is_used(&self, files: &TemplateFiles) {
        let _ = files;
    }

    /// Notes that a VM booted that could have woken: it calls [`crate::template::make`] when nobody is disturbed by it. Must not
    /// block.
    fn template_is_wanted(&self, control: &Control, wanted: Wanted) {
        let _ = (control, wanted);
    }

    /// The files that a kernel is booted with.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn boot_files(&self, kernel: &Path) -> HostResult<BootFiles>;

    /// The modules that a kernel has for guests, by its description.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn guest_modules(&self, kernel: &Path) -> HostResult<Option<GuestModules>>;

    /// The disk images of an image: the base, and its work seed if there is one.
    fn base_of(&self, image: &Path) -> PathBuf;
    /// Path of the work seed in the directory of an image that has one.
    fn seed_of(&self, image: &Path) -> PathBuf;

    /// Recipes that banger carries, by name.
    fn recipes(&self) -> Vec<&'static str>;

    /// Defaults of an image for its VMs. Empty when its description cannot be read any more.
    fn image_defaults(&self, image: &Path) -> ImageDefaults;

    /// The files of an image on the disk.
    fn files_of(&self, image: &Path) -> Vec<FileUse>;

    /// All that an image's description says; without its VMs.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn image_details(&self, image: &Path) -> HostResult<ImageDetails>;

    /// Cause in words when an image's description cannot be read. Its files may be whole all the same.
    fn image_damage(&self, image: &Path) -> Option<String> {
        let _ = image;
        None
    }

    /// The container image that an image was made of, if it was made of one.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn image_origin(&self, image: &Path) -> HostResult<Option<ImageOrigin>>;

    /// Words for the seed that the user has chosen for an image, when the image was made of `source` and the choice is kept.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn chosen_seed(&self, image: &Path, source: &ImageSource) -> HostResult<Option<&'static str>>;

    /// Checks a pull.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn pull(&self, request: &PullImage) -> HostResult<Box<dyn Fetch>>;

    /// Notes that a VM runs from now on: it watches the VMM and calls [`crate::vm::vmm_ended`] at its end. Must not
    /// block.
    fn vm_runs(&self, control: &Control, vm: &VmRecord);

    /// Notes that a VM's network process runs from now on: it calls [`crate::vm::net_ended`] at its end. Must not block.
    fn net_runs(&self, control: &Control, vm: &VmRecord);

    /// Gives a network process these rules, unless it has later ones.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn set_policy(&self, net: &NetIdentity, policy: Policy) -> HostResult<()>;

    /// Lets a network process listen at exactly these ports of the host, those of its VM's own address aside; answers with what it
    /// does not listen at, each with the cause. A process that has ended needs none: the next one has them from its record.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn set_ports(
        &self,
        net: &NetIdentity,
        ports: &[Publish],
        address: Option<Ipv4Addr>,
    ) -> HostResult<Vec<(Publish, String)>>;

    /// Tells whether a secret of this name is kept.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn has_secret(&self, name: &SecretName) -> HostResult<bool>;

    /// Gives a network process exactly these secrets, with their present values. A process that has ended needs none.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn set_secrets(&self, net: &NetIdentity, uses: &[SecretUse]) -> HostResult<()>;

    /// Rules of a set, from the host's own configuration.
    #[allow(clippy::missing_errors_doc)] // above, for all
    fn rules_of(&self, set: SetName) -> HostResult<Vec<Rule>>;

    /// Notes that a VM lacks a network process and could not get one: it calls [`crate::vm::ensure_net`] after a while. Must
    /// not block.
    fn net_is_missing(&self, control: &Control, vm: banger_api::VmId);

    /// Notes that the run of an ephemeral VM is expected: it looks at [`crate::vm::Runs`] from now on. Must not block.
    fn run_is_expected(&self, control: &Control, vm: banger_api::VmId);

    /// Notes that a VM's VMM is gone, or soon will be, and ends the conversations with its guest.
    fn vm_is_gone(&self, vm: banger_api::VmId);

    /// VMs came, went or were renamed. Blocks at most for a file.
    fn vms_changed(&self, control: &Control) {
        let _ = control;
    }

    /// Sees each plan, and the operation that it is of, before it runs. A proof of the proof plants its bugs here.
    fn planned(&self, plan: &mut Plan, op: Option<&Running>) {
        let _ = (plan, op);
    }
}
