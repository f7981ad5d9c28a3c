//! Operations: what a request started, and the events that tell how it goes.
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

/// Stage of an operation that found what was asked for, and did nothing.
pub const UP_TO_DATE: &str = "up_to_date";

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Its steps are being applied.
    Running,
    /// It failed or was cancelled and what it did is being undone.
    Reverting,
    /// It ended well.
    Done,
    /// It ended with an error; what it did was undone, or kept on purpose as the error says.
    Failed,
    /// It was cancelled and undone.
    Cancelled,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does: `create_vm`, `start_vm`, `build_image`, …
    pub kind: String,
    /// The VM that it concerns.
    pub vm: Option<VmId>,
    /// How it stands.
    pub state: OperationState,
    /// When it began.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<ApiError>,
    /// Its stages so far, with their times.
    pub stages: Vec<StageTime>,
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageTime {
    /// Name of the stage.
    pub stage: String,
    /// Its duration in microseconds.
    pub us: u64,
}

/// What happened in an operation, step by step, as its journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedOperation {
    /// The operation.
    #[serde(flatten)]
    pub operation: Operation,
    /// The name that its VM had.
    pub vm_name: Option<String>,
    /// The steps of its plans, in the order in which they were begun.
    pub steps: Vec<LoggedStep>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedStep {
    /// Its name.
    pub step: String,
    /// `applying` (it was cut off there), `applied` or `reverted`.
    pub state: String,
    /// When it got there.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
    /// How long it took, in microseconds.
    pub us: Option<u64>,
    /// Why it failed, or why it was undone.
    pub error: Option<String>,
}

/// One event of an operation. Events are numbered from 0; a late follower gets them all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Number of the event in its operation.
    pub seq: u64,
    /// When it happened.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A stage began, or got further.
    Stage {
        /// Its name, as `prepare_work_disk`.
        stage: String,
        /// What it does just now, as `cloning work seed`.
        detail: Option<String>,
        /// How far it got, in units of its own (bytes, entries).
        done: Option<u64>,
        /// How far it has to go.
        total: Option<u64>,
    },
    /// A stage ended well.
    StageDone {
        /// Its name.
        stage: String,
        /// Its duration in microseconds.
        us: u64,
    },
    /// Something that the user should know, and that stops nothing.
    Warning {
        /// One line.
        message: String,
    },
    /// The operation ended; no event follows.
    Finished {
        /// How it ended.
        state: OperationState,
        /// Why, when it did not end well.
        error: Option<ApiError>,
    },
}
