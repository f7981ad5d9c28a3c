//! Commands in a guest that go on without whoever started them.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a detached command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DetachedState {
    /// It runs.
    Running,
    /// It has ended.
    Ended,
    /// What watched it in the guest was ended: how it ends, or ended, is not known.
    Lost,
}

impl DetachedState {
    /// As in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Lost => "lost",
        }
    }
}

/// A command that was started detached since the VM's start. All of it is what the guest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetachedCommand {
    /// Its number in this VM, until the VM stops.
    pub id: u32,
    /// Program and arguments; long ones are cut.
    pub argv: Vec<String>,
    /// Process id in the guest.
    pub pid: u32,
    /// How it stands.
    pub state: DetachedState,
    /// Its exit code; 128 + n when signal n ended it, as shells have it.
    pub exit_code: Option<i32>,
    /// When it was started.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub ended_at: Option<Timestamp>,
    /// Bytes of its output that the guest keeps.
    pub log_bytes: u64,
    /// Older output was dropped.
    pub log_cut: bool,
}
