//! Errors between the caller and a VMM process.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use banger_jail::JailError;
use banger_process::ProcessError;

/// Errors of this crate. Texts from a VMM inside them are bounded and stripped of control characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The VMM program is not installed.
    #[error("no {program} found; install package {package}")]
    Missing {
        /// The program's name.
        program: String,
        /// The Debian package that has it.
        package: String,
    },
    /// A field of the spec cannot be passed to the VMM.
    #[error("{field} {value:?} {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value, or the offending part.
        value: String,
        /// The problem, and the allowed values.
        reason: String,
    },
    /// A published port is taken by another process.
    #[error("cannot publish port {port} of {ip}: another process listens there")]
    PortTaken {
        /// The host address.
        ip: IpAddr,
        /// The host port.
        port: u16,
    },
    /// A port cannot be published for another reason.
    #[error("cannot publish port {port} of {ip}")]
    Port {
        /// The host address.
        ip: IpAddr,
        /// The host port.
        port: u16,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Another VMM runs in the folder.
    #[error("another VMM runs in {}", dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
    },
    /// The host cannot give the guest its memory.
    #[error("cannot set up {memory_mib} MiB of guest memory: {message}")]
    GuestMemory {
        /// Requested memory in MiB.
        memory_mib: u32,
        /// Message of the VMM.
        message: String,
    },
    /// The VMM ended before its control socket answered.
    #[error("{program} ended at start ({status}): {message}")]
    Start {
        /// The program.
        program: String,
        /// Its exit status in words.
        status: String,
        /// The end of its standard error.
        message: String,
    },
    /// A step did not happen in time.
    #[error("{what} within {} ms", after.as_millis())]
    Timeout {
        /// The missing step, as "… did not …".
        what: String,
        /// Length of the wait.
        after: Duration,
    },
    /// The process with this pid is not the VMM of the identity.
    #[error("process {pid} is not the VMM that was started: {difference}")]
    NotOurs {
        /// The pid that was checked.
        pid: u32,
        /// The first difference.
        difference: String,
    },
    /// The VMM has ended.
    #[error("the VMM process {pid} has ended")]
    Gone {
        /// Its pid.
        pid: u32,
    },
    /// The monitor's answer violates its protocol, or is too long.
    #[error("the monitor {socket} broke its protocol: {reason}")]
    Protocol {
        /// The socket.
        socket: PathBuf,
        /// The problem.
        reason: String,
    },
    /// The monitor refused a command.
    #[error("the monitor refused {command}: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Message of the monitor.
        reason: String,
    },
    /// A guest cannot be saved, or a saved one does not go on.
    #[error("cannot {attempt} the guest: {reason}")]
    Saved {
        /// The attempt: `save` or `wake`.
        attempt: &'static str,
        /// The VMM's own words.
        reason: String,
    },
    /// The jail that the configuration requires cannot be made.
    #[error(transparent)]
    Jail(JailError),
    /// A call of the operating system failed.
    #[error("cannot {what}")]
    Io {
        /// The attempt, naming its object: "read /proc/7/stat".
        what: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl From<ProcessError> for EngineError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::NotOurs { pid, difference } => Self::NotOurs { pid, difference },
            ProcessError::Gone { pid } => Self::Gone { pid },
            ProcessError::Jail(error) => error.into(),
            ProcessError::Io { what, source } => Self::Io { what, source },
        }
    }
}

impl From<JailError> for EngineError {
    fn from(error: JailError) -> Self {
        match error {
            // A file of the VM's own: no word about the host.
            JailError::Path { path, source } => Self::Io {
                what: format!("read {}", path.display()),
                source,
            },
            other => Self::Jail(other),
        }
    }
}

impl EngineError {
    /// Converter for `map_err` at a call of the operating system.
    pub(crate) fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Io {
            what,
            source: source.into(),
        }
    }
}
