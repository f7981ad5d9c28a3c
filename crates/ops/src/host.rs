//! The one way to the machine. `LinuxHost` (in the daemon) is real; a simulated one is for proofs.
//!
//! Every call blocks, is idempotent where its name allows (removing what is absent succeeds, making a directory that is
//! there succeeds), and makes nothing durable by itself: [`Host::sync_file`], [`Host::sync_dir`] and
//! [`Host::sync_tree`] do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::image::WorkSeed;
use banger_api::{ApiError, ContentDigest, ExitCause, LayerId, VmId, VmName};
use banger_engine::{LaunchToken, Signal, VmmIdentity, VmmSpec};
use banger_net_control::NetIdentity;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::steps::{NetLaunch, NetStarted, Switched, TopOf};
use crate::{Cancel, Events, NetPlan, TemplateFacts, TemplateFiles};

/// Answer of a call of the host. The error is data: it is journalled and shown as it is.
pub type HostResult<T> = Result<T, ApiError>;

/// An empty ext4 disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlankDiskSpec {
    /// Size in bytes.
    pub bytes: u64,
    /// File-system label, at most 16 bytes.
    pub label: String,
    /// File-system UUID.
    pub uuid: Uuid,
}

/// Configuration of a guest: plain data, from which the host makes the guest's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSetup {
    /// The VM.
    pub vm: VmId,
    /// Its name: host name, `/etc/hosts`.
    pub name: VmName,
    /// Its network; `None` without a network device. Older builds stored parts of it: their starts are undone, never carried
    /// on, so nothing reads those.
    #[serde(default)]
    pub network: Option<NetPlan>,
    /// The SSH host key that this VM has for its life, as a file of the host.
    pub ssh_host_key: PathBuf,
    /// Defaults of its image for what runs in it.
    #[serde(default)]
    pub defaults: GuestDefaults,
    /// Only its root is wanted: no init is started, and nothing of the guest's files is changed.
    #[serde(default)]
    pub bare: bool,
    /// Directory of the system disk that takes what the guest writes at `/lib/modules/<release>`; `None` when its
    /// kernel has no disk of modules.
    #[serde(default)]
    pub modules: Option<String>,
    /// It wakes from a template: its agent is up and waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub woken: bool,
    /// Name of the kernel that boots; empty in plans of older builds.
    #[serde(default)]
    pub kernel: String,
    /// SHA-256 of the image of its own root's kernel, in hexadecimal digits, when that is what boots: a root that has
    /// another one by now is refused with `other_kernel`.
    #[serde(default)]
    pub own_kernel: Option<String>,
}

/// Defaults of commands in a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestDefaults {
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// `user[:group]`, by name or number; root when absent.
    pub user: Option<String>,
    /// Working directory; the user's home when absent.
    pub cwd: Option<String>,
    /// Words that the image always runs before its command.
    pub entrypoint: Vec<String>,
    /// The image's own command, or the arguments of its entry point.
    pub cmd: Vec<String>,
}

/// The work seed that an image is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedWish {
    /// Its source.
    #[serde(default)]
    pub from: WorkSeed,
    /// Size of its file system in bytes; what fits when absent.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Instead, what its user has chosen for the image in this directory.
    #[serde(default)]
    pub kept_of: Option<PathBuf>,
}

/// A part of a guest's boot that the guest has timed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootStage {
    /// Its name.
    pub name: String,
    /// Its duration in microseconds.
    pub us: u64,
}

/// Source of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ImageSource {
    /// A recipe that banger carries.
    Recipe {
        /// Its name.
        recipe: String,
        /// Its work seed.
        #[serde(default)]
        seed: SeedWish,
    },
    /// A container image that is on this host.
    Container {
        /// Its path.
        at: ContainerAt,
        /// Its name: the whole reference, or the path.
        reference: String,
        /// Digest of the index that led to it, where it lies in the cache and one did.
        #[serde(default)]
        index: Option<String>,
        /// `OS/ARCHITECTURE[/VARIANT]`; the host's own when absent.
        #[serde(default)]
        platform: Option<String>,
        /// Its work seed.
        #[serde(default)]
        seed: SeedWish,
    },
    /// A root file system on this host.
    Rootfs {
        /// An ext4 image, a tar archive or a directory.
        rootfs: PathBuf,
        /// Its work seed.
        #[serde(default)]
        seed: SeedWish,
    },
    /// Archive of its root that the guest of a VM has sent.
    Saved {
        /// The archive.
        archive: PathBuf,
        /// The directory of the image that the VM was made from: what it says about being run holds for this one, too.
        image: PathBuf,
        /// The VM.
        vm: VmName,
        /// Its work seed.
        seed: SeedWish,
    },
    /// An image of banger's own with another work seed: it shares the base.
    Reseed {
        /// The directory of its files.
        image: PathBuf,
        /// The new work seed.
        seed: SeedWish,
    },
}

/// Place of a container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerAt {
    /// In the cache of fetched images: the digest of its manifest (`sha256:…`).
    Cache(String),
    /// An OCI layout, an archive of one, or what `docker save` writes.
    Path {
        /// Absolute.
        path: PathBuf,
        /// The one of its images, when it has several.
        #[serde(default)]
        tag: Option<String>,
    },
}

/// Result of making an [`ImageSource`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Digest of its content: 64 hex digits.
    pub digest: ContentDigest,
    /// Origin, in words.
    pub source: String,
    /// `systemd`, `openrc` or `none`.
    pub init: String,
    /// Size of the base in bytes.
    pub base_bytes: u64,
    /// Size of the work seed's file system in bytes.
    pub seed_bytes: Option<u64>,
}

/// Result of making a kernel source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// Digest of the uncompressed image and its modules: 64 hex digits.
    pub digest: ContentDigest,
    /// Origin, in words.
    pub source: String,
    /// The kernel's version string.
    pub version: String,
    /// Size of the uncompressed image in bytes.
    pub image_bytes: u64,
    /// Modules loaded at boot, in order.
    pub modules: Vec<String>,
}

/// The machine.
///
/// # Errors
/// Every call names its object and the cause. A full disk is `no_space`, a passed deadline `timeout`, a cancelled wait
/// `cancelled`; the rest as the thing that failed.
#[allow(missing_docs)] // the group comments and names say it; the errors are above
pub trait Host: Send + Sync {
    // Files. Directories are made 0700, files 0600.
    fn make_dir(&self, path: &Path) -> HostResult<()>;
    /// Tells whether a path is below one of the directories in which every entry is banger's. Nothing is looked up. The
    /// other calls refuse to remove or move anything else.
    fn owns(&self, path: &Path) -> bool;
    fn remove_file(&self, path: &Path) -> HostResult<()>;
    /// Removes a directory and all in it, without following links.
    fn remove_tree(&self, path: &Path) -> HostResult<()>;
    /// Replaces `to`. Atomic, and durable only after `sync_dir` of both parents.
    fn rename(&self, from: &Path, to: &Path) -> HostResult<()>;
    fn exists(&self, path: &Path) -> HostResult<bool>;
    /// Names in a directory; none when it is absent.
    fn list_dir(&self, path: &Path) -> HostResult<Vec<PathBuf>>;
    /// Size in bytes; `None` when absent.
    fn file_len(&self, path: &Path) -> HostResult<Option<u64>>;
    fn sync_file(&self, path: &Path) -> HostResult<()>;
    fn sync_dir(&self, path: &Path) -> HostResult<()>;
    /// Makes a directory durable with all in it. This one syncs its entries only: a host whose `make_image` or
    /// `make_kernel` leaves directories in directories without syncing what is in those must do it here.
    fn sync_tree(&self, path: &Path) -> HostResult<()> {
        for entry in self.list_dir(path)? {
            self.sync_file(&entry)?;
        }
        self.sync_dir(path)
    }

    // Disks. What a crash left at `path` is replaced.
    fn make_blank_disk(&self, path: &Path, disk: &BlankDiskSpec) -> HostResult<()>;
    /// By reflink or by extents; holes stay holes.
    fn clone_file(&self, from: &Path, to: &Path) -> HostResult<()>;
    /// Writes a disk of `bytes` with the files of the work seed, when that is better than to clone it; else `false`,
    /// and nothing is made.
    fn write_seeded_disk(&self, seed: &Path, path: &Path, bytes: u64) -> HostResult<bool>;
    /// Gives a file a second name, in the place of what is there. Nobody may write to it by either from then on.
    fn link_file(&self, from: &Path, to: &Path) -> HostResult<()>;
    /// Makes `to` a copy of the directory `from` with the files in it, durable; without such a directory there is none.
    fn copy_dir(&self, from: &Path, to: &Path) -> HostResult<()>;
    /// Makes a disk of `bytes` that is read as what lies below it.
    fn make_top(&self, path: &Path, bytes: u64) -> HostResult<()>;
    /// Grows a disk of that kind that no VMM has open; never shrinks it.
    fn grow_top(&self, path: &Path, bytes: u64) -> HostResult<()>;
    /// Grows a file's length; never shrinks: a larger one is left as it is.
    fn grow_file(&self, path: &Path, bytes: u64) -> HostResult<()>;

    // VMMs.
    fn start_vmm(&self, spec: &VmmSpec, deadline: Duration) -> HostResult<VmmIdentity>;
    /// The launch with this token, also one whose pid was never recorded.
    fn find_vmm(&self, launch_token: &LaunchToken, dir: &Path) -> HostResult<Option<VmmIdentity>>;
    /// Every VMM of banger's that runs in a directory in `run`, whoever started it.
    fn list_vmms(&self, run: &Path) -> HostResult<Vec<VmmIdentity>>;
    /// Lets other processes of the host go first from now on. It runs all the same when it cannot.
    fn give_way(&self, _vmm: &VmmIdentity) {}
    /// Saves the guest of a VMM whose memory is that of these files, writes the others, and ends the VMM. Nothing is durable.
    fn save_vmm(
        &self,
        vmm: &VmmIdentity,
        to: &TemplateFiles,
        facts: &TemplateFacts,
        deadline: Duration,
    ) -> HostResult<()>;
    /// Has the guest write its disks, stops it, and writes its memory to the file `to`, which is durable and whole when it is
    /// there. The VMM stands still then. After an error the guest runs on, and nothing is there.
    fn suspend_vmm(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        deadline: Duration,
    ) -> HostResult<()>;
    /// Has the guest write its disks, and then write on over them, to these tops, all from one moment on. May be repeated. Where a VMM
    /// has ended nobody writes any more, which is as good; where it does not tell, the tops may be in use.
    fn switch_disks(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        layer: LayerId,
        tops: &[TopOf],
        deadline: Duration,
        events: &dyn Events,
    ) -> HostResult<Switched>;
    /// Lets a guest stand still.
    fn pause_vmm(&self, vmm: &VmmIdentity) -> HostResult<()>;
    /// Lets a guest that stands still go on. Success when it runs.
    fn resume_vmm(&self, vmm: &VmmIdentity) -> HostResult<()>;
    /// Confirms that it is the very VMM, alive and answering.
    fn adopt_vmm(&self, vmm: &VmmIdentity) -> HostResult<()>;
    /// Signals it, after its identity was checked, and waits until it is gone. Success when it was gone before.
    fn end_vmm(&self, vmm: &VmmIdentity, signal: Signal, deadline: Duration) -> HostResult<()>;
    /// Cause of its end, as far as that can be known; `None`: it has not ended.
    fn vmm_exit(&self, vmm: &VmmIdentity) -> HostResult<Option<ExitCause>>;

    // Network processes.
    /// Starts one beside a VMM that lives, and waits until it answers. It ends with the VMM.
    fn start_net(
        &self,
        launch: &NetLaunch,
        vmm: &VmmIdentity,
        deadline: Duration,
    ) -> HostResult<NetStarted>;
    /// The launch with this token, also one whose pid was never recorded.
    fn find_net(&self, token: &str, dir: &Path) -> HostResult<Option<NetIdentity>>;
    /// Every network process of banger's that runs in a directory in `run`, whoever started it.
    fn list_nets(&self, run: &Path) -> HostResult<Vec<NetIdentity>>;
    /// Tells whether it is the very process, alive and answering.
    fn net_answers(&self, net: &NetIdentity) -> HostResult<bool>;
    /// Kills it, after its identity was checked, and waits until it is gone. Success when it was gone before.
    fn end_net(&self, net: &NetIdentity, deadline: Duration) -> HostResult<()>;

    // Guests.
    /// Waits until a guest waits to be told what it is, and has it let go of its disks and its network.
    fn hold_guest(&self, vmm: &VmmIdentity, deadline: Duration, cancel: &Cancel) -> HostResult<()>;
    /// Waits until a guest that goes on where it stood is reachable, and sets its clock.
    fn greet_guest(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<()>;
    /// Waits until the guest is reachable and makes it this VM. The stages are the guest's own.
    fn configure_guest(
        &self,
        vmm: &VmmIdentity,
        setup: &GuestSetup,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<Vec<BootStage>>;
    /// Copies what the user wants in every guest (`[[file_sync]]`). What cannot be copied is a warning: a guest without
    /// it is still a guest. Changes nothing on the host.
    fn sync_files_to_guest(
        &self,
        _vmm: &VmmIdentity,
        _setup: &GuestSetup,
        _events: &dyn Events,
        _cancel: &Cancel,
    ) {
    }
    /// Shows a guest that its work disk, whose file has this size already, has become larger, and has it grow the file system.
    /// May be repeated.
    fn grow_running_disk(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        disk: &Path,
        bytes: u64,
        cancel: &Cancel,
    ) -> HostResult<()>;
    /// Asks the guest to sync and power off and waits until its VMM is gone. `false`: it still runs at the deadline.
    fn shutdown_guest(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        deadline: Duration,
        cancel: &Cancel,
    ) -> HostResult<bool>;

    /// Has a bare guest send its whole root, and writes that as it comes to the new file `to`, which a crash may have
    /// left there before.
    fn read_root(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        to: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()>;

    /// Has a bare guest send the kernel that is installed in its root, and makes the directory `into` of it, as
    /// `make_kernel` takes one.
    fn read_kernel(
        &self,
        vm: VmId,
        vmm: &VmmIdentity,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()>;

    // Making.
    fn make_image(
        &self,
        source: &ImageSource,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()>;
    /// Reads back what `make_image` has left in a directory.
    fn image_facts(&self, dir: &Path) -> HostResult<ImageFacts>;
    fn make_kernel(
        &self,
        source: &banger_api::kernel::KernelSource,
        all_modules: bool,
        into: &Path,
        events: &dyn Events,
        cancel: &Cancel,
    ) -> HostResult<()>;
    /// Reads back what `make_kernel` has left in a directory.
    fn kernel_facts(&self, dir: &Path) -> HostResult<KernelFacts>;
    /// Makes a kernel's initramfs with this build's agent at `path`, when it is not there yet. Any number of callers
    /// may ask at once; the file appears whole and durable, or not at all, and leaves nothing else behind.
    fn make_initramfs(&self, kernel_dir: &Path, path: &Path) -> HostResult<()>;
    /// Makes an SSH host key pair for the life of a VM.
    fn make_ssh_host_key(&self, path: &Path, vm: &VmName) -> HostResult<()>;

    // Clock.
    /// Ms since 1970.
    fn now_ms(&self) -> i64;
    /// Microseconds since some fixed moment.
    fn monotonic_us(&self) -> u64;
}
