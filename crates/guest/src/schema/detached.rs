//! Commands that run on without the host that started them.

use serde::{Deserialize, Serialize};

use super::{ExecFailure, ExitStatus};

/// A command's number: small, and never used again until the guest stops.
pub type DetachedId = u32;

/// Answer to [`super::Request::Detach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detached {
    /// It runs.
    Started(DetachedCommand),
    /// It was not started.
    Failed(ExecFailure),
}

/// A command that was started detached, running or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachedCommand {
    /// Its number.
    pub id: DetachedId,
    /// Program and arguments, cut to [`crate::limits::MAX_SHOWN_ARGV`] bytes.
    pub argv: Vec<String>,
    /// Its process id in the guest.
    pub pid: u32,
    /// Milliseconds since 1970 UTC.
    pub started_unix_ms: u64,
    /// Its end; `None` while it runs.
    #[serde(default)]
    pub ended: Option<DetachedEnd>,
    /// Bytes of output that are kept.
    pub log_bytes: u64,
    /// Older output was dropped: the log is bounded.
    #[serde(default)]
    pub log_cut: bool,
}

/// The end of a detached command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachedEnd {
    /// Exit status; `None` when the process that watched the command was itself killed.
    pub status: Option<ExitStatus>,
    /// Milliseconds since 1970 UTC.
    pub unix_ms: u64,
}

/// Request to follow a detached command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Number of the command.
    pub id: DetachedId,
    /// True to send its output, old and new; false for the end alone.
    #[serde(default)]
    pub output: bool,
}
