//! Identity of a VMM process, its state, and the cause of its end.

use std::path::{Path, PathBuf};

use banger_process::Identity;
use serde::{Deserialize, Serialize};

use crate::jail::JailRecord;
use crate::{EngineKind, LaunchToken};

/// Version of an identity's stored form that this build writes. Older ones are read, newer ones are refused.
const IDENTITY_VERSION: u32 = 2;

/// The version of a stored identity: 1 had none, and was always QEMU's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct IdentityVersion(u32);

impl IdentityVersion {
    /// The version that this build writes.
    pub const NEWEST: Self = Self(IDENTITY_VERSION);

    const fn first() -> Self {
        Self(1)
    }
}

impl TryFrom<u32> for IdentityVersion {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            0 => Err("version 0 of a VMM's identity does not exist".to_owned()),
            1..=IDENTITY_VERSION => Ok(Self(version)),
            newer => Err(format!(
                "version {newer} of a VMM's identity is newer than {IDENTITY_VERSION}, the newest that this banger knows"
            )),
        }
    }
}

impl From<IdentityVersion> for u32 {
    fn from(version: IdentityVersion) -> Self {
        version.0
    }
}

fn qemu() -> EngineKind {
    EngineKind::Qemu
}

/// Lasting identity of a VMM process: stored by the caller, compared by every call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmmIdentity {
    /// Version of this stored form.
    #[serde(default = "IdentityVersion::first")]
    pub version: IdentityVersion,
    /// The engine that started it.
    #[serde(default = "qemu")]
    pub engine: EngineKind,
    /// Process id. The kernel reuses it, so it is never enough alone.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks between boot and the process's start.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id` when it started.
    pub boot_id: String,
    /// The target of `/proc/PID/exe`.
    pub exe: PathBuf,
    /// [`VmmSpec::launch_token`](crate::VmmSpec::launch_token).
    pub launch_token: LaunchToken,
    /// The monitor's Unix socket, absolute; may be longer than `sun_path`.
    pub control_socket: PathBuf,
    /// The guest channel's Unix socket, absolute; may be longer than `sun_path`: connect with `banger_socket::connect`.
    pub channel_socket: PathBuf,
    /// File with the output of the guest's serial console.
    pub console_log: PathBuf,
    /// Layers of its jail; absent when they were not recorded: by an older build, or the VMM was found without its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<JailRecord>,
}

impl VmmIdentity {
    /// Its process.
    pub fn process(&self) -> Identity {
        Identity {
            pid: self.pid,
            start_ticks: self.start_ticks,
            boot_id: self.boot_id.clone(),
            exe: self.exe.clone(),
            token: self.launch_token.to_string(),
        }
    }

    /// The VM's folder, with the sockets and the VMM's own records.
    pub fn dir(&self) -> &Path {
        self.control_socket.parent().unwrap_or(Path::new("/"))
    }
}

/// Current state of a VMM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum VmmState {
    /// The guest executes.
    Running,
    /// Stopped by [`Engine::pause`](crate::Engine::pause).
    Paused,
    /// The VMM stopped the guest by itself because it cannot write its disks, most often because the host's is full.
    /// [`Engine::resume`](crate::Engine::resume) repeats the failed operation.
    DiskError,
    /// The VMM stopped the guest by itself for another reason.
    Blocked {
        /// The VMM's name for the reason; `prelaunch` is a launch whose starter died before it let the guest run.
        reason: String,
    },
    /// The process has ended (or another one has its pid).
    Gone {
        /// Cause, as far as it is known afterwards.
        cause: Option<ExitCause>,
    },
}

/// Cause of a VMM's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum ExitCause {
    /// The guest's kernel panicked; `message` is its own, from the console.
    GuestPanic {
        /// Text behind `Kernel panic - not syncing:`, one bounded line. Text from the guest.
        message: String,
    },
    /// The guest powered off.
    GuestShutdown,
    /// The guest rebooted (or its CPU triple-faulted); a VMM ends in this case.
    GuestReset,
    /// It was asked to quit through its monitor.
    HostQuit,
    /// It ended itself cleanly on a catchable signal (`SIGTERM`, `SIGINT`, `SIGHUP`).
    HostSignal {
        /// The signal's number, if it is known.
        signal: Option<i32>,
    },
    /// A signal ended it, as the process that started it saw.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It failed; `message` is its own.
    Failed {
        /// The end of its standard error, bounded.
        message: String,
    },
    /// It left no record of its end: it was killed with `SIGKILL`, by the kernel for lack of memory, or with the whole
    /// host.
    Vanished,
}

impl std::fmt::Display for ExitCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GuestPanic { message } => write!(f, "the guest's kernel panicked: {message}"),
            Self::GuestShutdown => f.write_str("the guest powered off"),
            Self::GuestReset => f.write_str("the guest rebooted"),
            Self::HostQuit => f.write_str("it was told to quit"),
            Self::HostSignal { signal: Some(n) } => write!(f, "it ended on signal {n}"),
            Self::HostSignal { signal: None } => f.write_str("it ended on a signal"),
            Self::Killed { signal } => write!(f, "it was killed by signal {signal}"),
            Self::Failed { message } => write!(f, "it failed: {message}"),
            Self::Vanished => {
                f.write_str("it was killed, or the host went down: it left no record of its end")
            }
        }
    }
}
