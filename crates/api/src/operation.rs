//! Operations: the work that a request started, and the events that report its progress.
//!
//! ```text
//! POST … ──► Accepted{operation} ──► GET /v1/operations/{id}/events (server-sent)
//!                                       stage* … finished
//! ```

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::ids::{OperationId, VmId};

/// Stage of an operation that found nothing to do.
pub const UP_TO_DATE: &str = "up_to_date";

/// State of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Its steps are being applied.
    Running,
    /// It failed or was cancelled, and its effects are being undone.
    Reverting,
    /// It succeeded.
    Done,
    /// It ended with an error; its effects were undone, or kept on purpose as the error says.
    Failed,
    /// It was cancelled and undone.
    Cancelled,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Kind of the operation: `create_vm`, `start_vm`, `build_image`, …
    pub kind: String,
    /// The VM that it concerns.
    pub vm: Option<VmId>,
    /// Its state.
    pub state: OperationState,
    /// Time of its start.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    /// Time of its end.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub finished_at: Option<Timestamp>,
    /// Cause of its failure.
    pub error: Option<ApiError>,
    /// Its stages so far, with their durations.
    pub stages: Vec<StageTime>,
}

/// Duration of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageTime {
    /// Name of the stage.
    pub stage: String,
    /// Its duration in microseconds.
    pub us: u64,
}

/// An operation with its steps, from the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedOperation {
    /// The operation.
    #[serde(flatten)]
    pub operation: Operation,
    /// The name that its VM had.
    pub vm_name: Option<String>,
    /// The steps of its plans, in the order in which they began.
    pub steps: Vec<LoggedStep>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedStep {
    /// Its name.
    pub step: String,
    /// `applying` (it was interrupted there), `applied` or `reverted`.
    pub state: String,
    /// Time at which it reached that state.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
    /// Its duration in microseconds.
    pub us: Option<u64>,
    /// Cause of its failure, or of its undoing.
    pub error: Option<String>,
}

/// One event of an operation. Events are numbered from 0; a late follower gets all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Number of the event in its operation.
    pub seq: u64,
    /// Time of the event.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
    /// Kind of the event.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Kind of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A stage began, or made progress.
    Stage {
        /// Its name, such as `prepare_work_disk`.
        stage: String,
        /// Its current action, such as `cloning work seed`.
        detail: Option<String>,
        /// Its progress, in units of its own (bytes, entries).
        done: Option<u64>,
        /// Its goal, in the same units.
        total: Option<u64>,
    },
    /// A stage succeeded.
    StageDone {
        /// Its name.
        stage: String,
        /// Its duration in microseconds.
        us: u64,
    },
    /// A problem that the user should know and that stops nothing.
    Warning {
        /// The problem on one line.
        message: String,
    },
    /// The operation ended; no event follows.
    Finished {
        /// Its final state.
        state: OperationState,
        /// Cause of its failure, if it failed.
        error: Option<ApiError>,
    },
}
