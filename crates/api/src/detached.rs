//! Detached commands: they run in a guest on their own, without the client that started them.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// State of a detached command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DetachedState {
    /// It runs.
    Running,
    /// It has ended.
    Ended,
    /// The process that watched it in the guest was ended: its end is unknown.
    Lost,
}

impl DetachedState {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Lost => "lost",
        }
    }
}

/// A command that was started detached since the VM's start. All fields come from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetachedCommand {
    /// Its number in this VM, until the VM stops.
    pub id: u32,
    /// Program and arguments; long ones are cut.
    pub argv: Vec<String>,
    /// Process id in the guest.
    pub pid: u32,
    /// Its state.
    pub state: DetachedState,
    /// Its exit code; 128 + n if signal n ended it, as in shells.
    pub exit_code: Option<i32>,
    /// Time of its start.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    /// Time of its end.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub ended_at: Option<Timestamp>,
    /// Bytes of its output that the guest keeps.
    pub log_bytes: u64,
    /// True when older output was dropped.
    pub log_cut: bool,
}
