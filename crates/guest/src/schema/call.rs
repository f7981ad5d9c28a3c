//! The calls and the envelope of their answers.

use serde::{Deserialize, Serialize};

use super::words::one_line;
use super::{
    Attach, Configure, ExecRequest, GetChanges, GetFiles, GuestPath, PutFiles, SetClock, TreeFiles,
};
use crate::limits::MAX_GUEST_TEXT;

/// The first message of every call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", content = "with", rename_all = "snake_case")]
pub enum Request {
    /// Ask for a sign of life and the phase of the guest. Answer: [`Pong`].
    Ping,
    /// Configure this guest. Answer: [`super::Configured`].
    Configure(Box<Configure>),
    /// Run a command. Followed by frames in both directions.
    Exec(ExecRequest),
    /// Start a command that runs on without the host; it gets no input and no terminal. Answer: [`super::Detached`].
    Detach(ExecRequest),
    /// List the detached commands. Answer: `Vec<`[`super::DetachedCommand`]`>`, the oldest first.
    Detached,
    /// Follow a detached command. Followed by the frames that the guest sends in an exec call.
    Attach(Attach),
    /// Receive a tar stream and place it. Followed by frames.
    PutFiles(PutFiles),
    /// Send a tree as a tar stream. Followed by frames.
    GetFiles(GetFiles),
    /// Send the changes in a tree since it was sent. Followed by frames: first the host's, with the manifest of its
    /// files.
    GetChanges(GetChanges),
    /// Send the whole root, the work disk included, as a tar stream that keeps all properties. Followed by frames. Only
    /// for a guest in which nothing else runs.
    GetRoot,
    /// Open a connection inside the guest. Answer: `()`, then raw bytes both ways.
    Connect(ConnectTarget),
    /// Get the states of these files of a tree. Answer: `Vec<`[`super::Found`]`>`, in the order of the request.
    DigestFiles(TreeFiles),
    /// Remove these files of a tree, and directories that become empty. Answer: the number of files removed, as `u64`.
    RemoveFiles(TreeFiles),
    /// List the listening sockets of the guest. Answer: `Vec<`[`super::Listener`]`>`.
    Ports,
    /// Tell which TCP sockets listen, now and whenever that has changed. Answers: `Vec<`[`super::Listener`]`>` without processes, again
    /// and again. Agents of version 8 and before do not know it.
    WatchPorts,
    /// Get load, memory and disks of the guest. Answer: [`super::GuestStats`].
    Stats,
    /// Read the clock. Answer: [`super::ClockReading`]. Agents of version 4 and before do not know it.
    ReadClock,
    /// Bring the clock to the host's time, by a step or slowly. Answer: [`super::ClockSet`]. Agents of version 4 and before
    /// do not know it.
    SetClock(SetClock),
    /// Grow the file system of a disk that has become larger while it is mounted. Answer: `()`. Agents of version 6 and before do not
    /// know it.
    GrowDisk(GrowDisk),
    /// Let go of disks and network, so that this machine can be saved and woken with others; only a guest that waits for
    /// [`Configure`] can. From then on only that, the clock's calls and a ping are answered. Answer: `()`. Agents of version 7
    /// and before do not know it.
    Hold,
    /// Look for the kernel in the guest's root that a machine would boot. Answer: [`super::InstalledKernel`], or none as `null`.
    /// Agents of version 10 and before do not know it.
    InstalledKernel,
    /// Write everything to the disks (`sync(2)`). Answer: `()`.
    Sync,
    /// Write everything to the disks, answer `()`, then power off or reboot.
    Shutdown {
        /// Action after the shutdown.
        mode: ShutdownMode,
    },
}

impl Request {
    /// Name of the call, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Configure(_) => "configure",
            Self::Exec(_) => "exec",
            Self::Detach(_) => "detach",
            Self::Detached => "detached",
            Self::Attach(_) => "attach",
            Self::PutFiles(_) => "put_files",
            Self::GetFiles(_) => "get_files",
            Self::GetChanges(_) => "get_changes",
            Self::GetRoot => "get_root",
            Self::Connect(_) => "connect",
            Self::DigestFiles(_) => "digest_files",
            Self::RemoveFiles(_) => "remove_files",
            Self::Ports => "ports",
            Self::WatchPorts => "watch_ports",
            Self::Stats => "stats",
            Self::ReadClock => "read_clock",
            Self::SetClock(_) => "set_clock",
            Self::GrowDisk(_) => "grow_disk",
            Self::Hold => "hold",
            Self::InstalledKernel => "installed_kernel",
            Self::Sync => "sync",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}

/// A disk that has become larger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowDisk {
    /// Serial number of the disk.
    pub disk: String,
    /// Mount point of its file system.
    pub mounted: GuestPath,
    /// Its size in bytes, which the guest's kernel may not have seen yet.
    pub bytes: u64,
}

/// The answer to a call that has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// Success.
    Ok(T),
    /// Failure.
    Failed(Failure),
}

/// Reason why the guest did not do a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The part of the guest that failed: `disk base`, `hostname`, `file /etc/fstab`, …
    pub part: String,
    /// Step that failed: `mount`, `find by serial`, `read back`, …
    pub check: String,
    /// The cause, a lower-case fragment.
    pub message: String,
    /// The kind, where the host decides by it.
    #[serde(default, skip_serializing_if = "FailureKind::is_other")]
    pub kind: FailureKind,
}

/// Kind of a [`Failure`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The guest's root has another kernel than the one that booted ([`super::OwnKernel`]).
    OtherKernel,
    /// One that only its words describe, or that only another version knows.
    #[default]
    #[serde(other)]
    Other,
}

impl FailureKind {
    fn is_other(&self) -> bool {
        *self == Self::Other
    }
}

impl Failure {
    /// The same with texts that are safe to show.
    #[must_use]
    pub fn harmless(self) -> Self {
        Self {
            part: one_line(&self.part, MAX_GUEST_TEXT),
            check: one_line(&self.check, MAX_GUEST_TEXT),
            message: one_line(&self.message, MAX_GUEST_TEXT),
            kind: self.kind,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.part, self.check, self.message)
    }
}

/// Answer to [`Request::Ping`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// Version of the agent's program.
    pub agent_version: String,
    /// State of the guest's start.
    pub phase: Phase,
    /// `/proc/sys/kernel/random/boot_id`: new at every boot.
    pub boot_id: String,
}

/// State of a guest's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In the initramfs; waits for [`Configure`].
    Waiting,
    /// As [`Phase::Waiting`], without disks and network: it was saved so, or is about to be. Of agents since version 8.
    Held,
    /// [`Configure`] is being applied, or failed in the middle.
    Configuring,
    /// The root is assembled; every call works.
    Running,
    /// A shutdown was accepted.
    Stopping,
}

/// Target of [`Request::Connect`], inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectTarget {
    /// A TCP port of the guest's loopback (`127.0.0.1`, then `::1`).
    Tcp {
        /// The port.
        port: u16,
    },
    /// A Unix stream socket of the guest.
    Unix {
        /// Path of the socket.
        path: GuestPath,
    },
}

/// Action after a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownMode {
    /// The VM ends.
    Poweroff,
    /// The VM boots again.
    Reboot,
}
