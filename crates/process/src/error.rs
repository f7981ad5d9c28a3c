//! Errors of this crate.

use std::io;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The process with this pid is another one.
    #[error("process {pid} is not the one that was started: {difference}")]
    NotOurs {
        /// The pid that was looked at.
        pid: u32,
        /// The first difference.
        difference: String,
    },
    /// The process has ended.
    #[error("process {pid} has ended")]
    Gone {
        /// Its pid.
        pid: u32,
    },
    /// The jail that was asked for cannot be made.
    #[error(transparent)]
    Jail(#[from] banger_jail::JailError),
    /// A call of the operating system failed.
    #[error("cannot {what}")]
    Io {
        /// The attempt, naming its object: "read /proc/7/stat".
        what: String,
        /// Cause of the failure.
        #[source]
        source: io::Error,
    },
}

impl ProcessError {
    /// For `map_err` at a call of the operating system.
    pub(crate) fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Io {
            what,
            source: source.into(),
        }
    }
}
