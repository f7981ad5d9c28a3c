//! Operations: the work that a request started, and the events that report its progress.
//!
//! ```text
//! POST … ──► Accepted{operation} ──► GET /v1/operations/{id}/events (server-sent)
//!                                       stage* … finished
//! ```

use std::fmt;

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
    /// It succeeded.
    Done,
    /// It ended with an error; its effects were undone, or kept on purpose as the error says.
    Failed,
    /// It was cancelled and undone.
    Cancelled,
}

/// Work that an operation does.
///
/// A client of an older build reads a kind that it does not know as [`Unknown`](Self::Unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Makes a VM, and starts it when that was asked for.
    CreateVm,
    /// Makes a VM in the place of the one that has its name.
    ReplaceVm,
    /// Starts a VM.
    StartVm,
    /// Stops a VM and starts it again.
    RestartVm,
    /// Has a guest shut down.
    StopVm,
    /// Ends a VMM by a signal.
    KillVm,
    /// Deletes a VM with its disks.
    DeleteVm,
    /// Saves a VM's memory on the disk and ends its VMM.
    SuspendVm,
    /// Lets a guest stand still.
    PauseVm,
    /// Lets a guest that stands still go on.
    ResumeVm,
    /// Changes the size of a VM's work disk, in its guest too when that runs.
    SetDisk,
    /// Makes an image of a VM.
    SaveVm,
    /// Makes a checkpoint of a VM.
    CreateCheckpoint,
    /// Lets a VM go back to a checkpoint.
    RestoreCheckpoint,
    /// Deletes a checkpoint.
    DeleteCheckpoint,
    /// Makes VMs of another one's disks.
    ForkVm,
    /// Settles a VM whose VMM ended by itself.
    VmmEnded,
    /// Starts another network process in the place of one that ended by itself.
    ReplaceNet,
    /// Settles a VM whose VMM was gone when the daemon started.
    RecoverVm,
    /// Builds an image from a recipe.
    BuildImage,
    /// Makes an image from a file or a folder of this host.
    RegisterImage,
    /// Makes an image from a container image.
    PullImage,
    /// Gives an image another work seed.
    ReseedImage,
    /// Gives an image another name.
    RenameImage,
    /// Deletes an image.
    DeleteImage,
    /// Imports a kernel.
    ImportKernel,
    /// Deletes a kernel.
    DeleteKernel,
    /// Saves a guest that waits, for VMs to wake from.
    MakeTemplate,
    /// Removes templates.
    DeleteTemplate,
    /// Removes what nothing claims.
    Sweep,
    /// Work that only another build knows.
    #[serde(other)]
    Unknown,
}

impl OperationKind {
    /// Every kind that this build knows.
    pub const ALL: [Self; 30] = [
        Self::CreateVm,
        Self::ReplaceVm,
        Self::StartVm,
        Self::RestartVm,
        Self::StopVm,
        Self::KillVm,
        Self::DeleteVm,
        Self::SuspendVm,
        Self::PauseVm,
        Self::ResumeVm,
        Self::SetDisk,
        Self::SaveVm,
        Self::CreateCheckpoint,
        Self::RestoreCheckpoint,
        Self::DeleteCheckpoint,
        Self::ForkVm,
        Self::VmmEnded,
        Self::ReplaceNet,
        Self::RecoverVm,
        Self::BuildImage,
        Self::RegisterImage,
        Self::PullImage,
        Self::ReseedImage,
        Self::RenameImage,
        Self::DeleteImage,
        Self::ImportKernel,
        Self::DeleteKernel,
        Self::MakeTemplate,
        Self::DeleteTemplate,
        Self::Sweep,
    ];

    /// The kind's name, as JSON and the store have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateVm => "create_vm",
            Self::ReplaceVm => "replace_vm",
            Self::StartVm => "start_vm",
            Self::RestartVm => "restart_vm",
            Self::StopVm => "stop_vm",
            Self::KillVm => "kill_vm",
            Self::DeleteVm => "delete_vm",
            Self::SuspendVm => "suspend_vm",
            Self::PauseVm => "pause_vm",
            Self::ResumeVm => "resume_vm",
            Self::SetDisk => "set_disk",
            Self::SaveVm => "save_vm",
            Self::CreateCheckpoint => "create_checkpoint",
            Self::RestoreCheckpoint => "restore_checkpoint",
            Self::DeleteCheckpoint => "delete_checkpoint",
            Self::ForkVm => "fork_vm",
            Self::VmmEnded => "vmm_ended",
            Self::ReplaceNet => "replace_net",
            Self::RecoverVm => "recover_vm",
            Self::BuildImage => "build_image",
            Self::RegisterImage => "register_image",
            Self::PullImage => "pull_image",
            Self::ReseedImage => "reseed_image",
            Self::RenameImage => "rename_image",
            Self::DeleteImage => "delete_image",
            Self::ImportKernel => "import_kernel",
            Self::DeleteKernel => "delete_kernel",
            Self::MakeTemplate => "make_template",
            Self::DeleteTemplate => "delete_template",
            Self::Sweep => "sweep",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of this name; [`Unknown`](Self::Unknown) for a name that only another build knows.
    pub fn of(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        known.unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl OperationState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The state's name, as JSON and the store have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Kind of the operation.
    pub kind: OperationKind,
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

/// Progress of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It was about to be applied; it may have had any part of its effect.
    Applying,
    /// Its effect is there.
    Applied,
    /// Its effect was undone, or never was.
    Reverted,
}

impl StepState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Applying, Self::Applied, Self::Reverted];

    /// The state's name, as JSON and the store have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Reverted => "reverted",
        }
    }

    /// The state of this name; of a name that is not known, the least that can be assumed.
    pub fn of(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == name);
        known.unwrap_or(Self::Applying)
    }
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedStep {
    /// Its name.
    pub step: String,
    /// State of the step; `applying` in a finished operation: it was interrupted there.
    pub state: StepState,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_state_has_one_name_in_json_and_in_the_store() {
        for kind in OperationKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(OperationKind::of(kind.as_str()), kind);
        }
        for state in OperationState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(OperationState::of(state.as_str()), Some(state));
        }
        for state in StepState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(StepState::of(state.as_str()), state);
        }
    }

    #[test]
    fn a_kind_of_a_newer_build_is_read_as_unknown() {
        let read: OperationKind = serde_json::from_str("\"freeze_vm\"").unwrap();
        assert_eq!(read, OperationKind::Unknown);
        assert_eq!(OperationKind::of("freeze_vm"), OperationKind::Unknown);
        assert_eq!(OperationState::of("frozen"), None);
    }
}
