//! The trait that every VMM backend implements, and the report of a backend about itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{EngineError, LaunchToken, NewTop, VmmIdentity, VmmSpec, VmmState};

/// VMM program that runs a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// QEMU, `qemu-system-x86_64`.
    Qemu,
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Qemu => "qemu",
        })
    }
}

/// Means by which the guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// The CPU's own virtualisation through `/dev/kvm`.
    Kvm,
    /// QEMU's translator: works everywhere, several times slower.
    Tcg,
}

impl std::fmt::Display for Accel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// Result of an engine's look at this host. Made without starting a VM.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The engine.
    pub kind: EngineKind,
    /// The VMM's executable, or the missing parts and the way to get them.
    pub available: Result<PathBuf, String>,
    /// Version, as the program states it, for example `7.2.22`.
    pub version: Option<String>,
    /// True when it links a guest to a network process: [`NetSpec::Datagrams`](crate::NetSpec::Datagrams).
    pub has_datagrams: bool,
    /// The accelerator that really works here.
    pub accel: Accel,
    /// Reason for this accelerator, in a sentence for `doctor`.
    pub accel_reason: String,
}

/// One VMM backend. All calls block; none blocks beyond its deadline (where it takes none: five seconds).
pub trait Engine: Send + Sync {
    /// Kind of this backend.
    fn kind(&self) -> EngineKind;

    /// Finds out the parts of this backend that work on this host.
    fn probe(&self) -> Probe;

    /// Starts the VMM in its own session and waits until its control socket answers. After an error, no process of the
    /// launch is left. A guest that ends at once may be gone when this returns: that is no error.
    ///
    /// # Errors
    /// [`EngineError::Missing`] without the VMM program, [`EngineError::Invalid`] for the field of `spec` that cannot
    /// be passed on, and the VMM's own error, if possible as a kind of its own ([`EngineError::PortTaken`],
    /// [`EngineError::GuestMemory`]).
    fn start(&self, spec: &VmmSpec, deadline: Duration) -> Result<VmmIdentity, EngineError>;

    /// Current state of the VMM. A process that is not the one of `id` counts as gone.
    ///
    /// # Errors
    /// [`EngineError::Timeout`] when the process lives and does not answer (a stopped VMM, for example).
    fn state(&self, id: &VmmIdentity) -> Result<VmmState, EngineError>;

    /// Searches this user's processes for the launch with this token in `dir`. It also finds a launch that has no
    /// control socket yet.
    ///
    /// # Errors
    /// Fails when `/proc` cannot be read.
    fn find(
        &self,
        launch_token: &LaunchToken,
        dir: &Path,
    ) -> Result<Option<VmmIdentity>, EngineError>;

    /// All of this user's launches whose folder is directly in `parent`, unrecorded ones included.
    ///
    /// # Errors
    /// Fails when `/proc` cannot be read.
    fn list(&self, parent: &Path) -> Result<Vec<VmmIdentity>, EngineError>;

    /// Confirms that the process of `id` is that very VMM and that it answers: same boot, pid, start time, executable
    /// and token, and the kernel names the same pid as the peer of its control socket.
    ///
    /// # Errors
    /// [`EngineError::NotOurs`] with the first difference, [`EngineError::Gone`], [`EngineError::Timeout`].
    fn adopt(&self, id: &VmmIdentity) -> Result<(), EngineError>;

    /// Tells whether the guest holds its end of the channel open: then its agent lives, even if its answer takes long.
    ///
    /// # Errors
    /// [`EngineError::Gone`], [`EngineError::Timeout`], or the monitor's error.
    fn channel_is_open(&self, id: &VmmIdentity) -> Result<bool, EngineError>;

    /// Shows the guest the disk of this serial number with this size, which a raw file has already; it never becomes smaller. May be
    /// repeated.
    ///
    /// # Errors
    /// [`EngineError::Gone`], [`EngineError::Invalid`] when the VMM has no such disk, what the host refuses, or the monitor's
    /// error.
    fn resize_disk(&self, id: &VmmIdentity, serial: &str, bytes: u64) -> Result<(), EngineError>;

    /// Lets a guest that runs write on over its disks, all from one moment on: their files are not written to any more, and lie below
    /// the tops. May be repeated.
    ///
    /// # Errors
    /// [`EngineError::Gone`]. [`EngineError::Refused`] or [`EngineError::Invalid`]: it writes to its disks as before. After any other
    /// error that is not known.
    fn switch_disks(
        &self,
        id: &VmmIdentity,
        tops: &[NewTop],
        deadline: Duration,
    ) -> Result<(), EngineError>;

    /// Words that are the same for two guests when one can go on in the machine of the other's spec: version and identity of the
    /// program, and all of the machine but what may differ, which is names, tokens, published ports and the files of disks.
    /// `None` when guests like this one are not saved here.
    ///
    /// # Errors
    /// As [`Engine::start`], for the field of `spec` that cannot be passed on.
    fn saved_key(&self, spec: &VmmSpec) -> Result<Option<String>, EngineError>;

    /// Saves a guest whose memory is the file `memory` ([`Memory::File`](crate::Memory::File)): stops it, writes the state of its
    /// devices and processors to the new file `state`, ends the VMM, and lets nobody write to either any more. Nothing is made
    /// durable.
    ///
    /// # Errors
    /// [`EngineError::Saved`], [`EngineError::Gone`], [`EngineError::Timeout`]. The guest stands still then.
    fn save(
        &self,
        id: &VmmIdentity,
        memory: &Path,
        state: &Path,
        deadline: Duration,
    ) -> Result<(), EngineError>;

    /// Stops a guest and writes its memory and the state of its devices and processors to the file `state`, which is durable and
    /// whole as soon as it has its name. The VMM stands still then and is to be ended.
    ///
    /// # Errors
    /// [`EngineError::Saved`], [`EngineError::Gone`], [`EngineError::Timeout`], or the host's. The guest runs on then, as far as
    /// the VMM still answers, and no file stays.
    fn suspend(
        &self,
        id: &VmmIdentity,
        state: &Path,
        deadline: Duration,
    ) -> Result<(), EngineError>;

    /// Stops the virtual CPUs.
    ///
    /// # Errors
    /// [`EngineError::Gone`], or the monitor's error.
    fn pause(&self, id: &VmmIdentity) -> Result<(), EngineError>;

    /// Lets the virtual CPUs run again, after [`VmmState::DiskError`] as well.
    ///
    /// # Errors
    /// [`EngineError::Gone`], or the monitor's error.
    fn resume(&self, id: &VmmIdentity) -> Result<(), EngineError>;

    /// Ends the VMM cleanly, without asking the guest: it flushes its disks and exits. Succeeds also if it is gone
    /// already.
    ///
    /// # Errors
    /// [`EngineError::Timeout`] when it still lives at the deadline.
    fn quit(&self, id: &VmmIdentity, deadline: Duration) -> Result<(), EngineError>;

    /// Sends a signal to the VMM, through a pidfd after the identity check. Returns `false` if it was gone already.
    ///
    /// # Errors
    /// Fails when the kernel refuses.
    fn kill(&self, id: &VmmIdentity, signal: Signal) -> Result<bool, EngineError>;

    /// Waits until the VMM's process has ended; returns `false` if it still lives at the deadline.
    ///
    /// # Errors
    /// Fails when `/proc` cannot be read or the process cannot be watched.
    fn wait_gone(&self, id: &VmmIdentity, deadline: Duration) -> Result<bool, EngineError>;

    /// Removes what a launch in `dir` has left outside of it: the control group of its VMM, which has ended. For the removal
    /// of the folder.
    ///
    /// # Errors
    /// Something lives in the group that does not end.
    fn forget(&self, dir: &Path) -> Result<(), EngineError>;

    /// Limits the files that a guest makes its VMM write: the console's log to `console_max_bytes` (its last half
    /// stays), the VMM's own records to fixed sizes. To be called at intervals while the VMM runs; cheap when there is
    /// nothing to do.
    ///
    /// # Errors
    /// Fails when a file cannot be shortened.
    fn trim(&self, id: &VmmIdentity, console_max_bytes: u64) -> Result<(), EngineError>;
}
