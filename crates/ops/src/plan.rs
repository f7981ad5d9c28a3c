//! A plan: what will happen, written down before it does.

use std::path::{Path, PathBuf};

use banger_api::vm::VmState;
use banger_api::{ErrorCode, ExitCause, OperationId, VmId};
use banger_store::{Owner, PlanRecord};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Change, Host, Step};

/// Kinds of plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Makes a VM's disks.
    CreateVm,
    /// Boots it.
    StartVm,
    /// Stops it in order.
    StopVm,
    /// Ends its VMM.
    KillVm,
    /// Starts another network process of it.
    ReplaceNet,
    /// Removes it.
    DeleteVm,
    /// Grows the work disk of a VM that runs.
    GrowDisk,
    /// Makes an image's files.
    MakeImage,
    /// Gives made files their place and name.
    PublishImage,
    /// Removes an image.
    DeleteImage,
    /// Makes an image's files of a VM's disks.
    SaveVm,
    /// Keeps the disks of a VM that does not run as a checkpoint.
    CheckpointVm,
    /// Makes the layer and the other disks of a VM that runs.
    MakeLayer,
    /// Lets a guest that runs write on over its disks, which makes them a checkpoint.
    SwitchDisks,
    /// Makes other disks of a VM, under the names that are free.
    MakeTops,
    /// Lets the disks of a VM be those of a checkpoint.
    RestoreVm,
    /// Removes files of disks that a VM had before.
    RemoveOldDisks,
    /// Removes a checkpoint.
    DeleteCheckpoint,
    /// Removes a frozen layer of disks.
    DeleteLayer,
    /// Gives an image another name.
    RenameImage,
    /// Lets an image's name stand for other files with the same base.
    ReplaceImage,
    /// Makes a kernel's files.
    MakeKernel,
    /// Makes a kernel's files of the one in a VM's root.
    TakeKernel,
    /// Gives made files their place and name.
    PublishKernel,
    /// Removes a kernel.
    DeleteKernel,
    /// Saves the memory of a VM that runs.
    SuspendVm,
    /// Ends the VMM of a VM whose memory was saved.
    EndSuspended,
    /// Makes a template.
    MakeTemplate,
    /// Removes a template.
    DeleteTemplate,
    /// Removes what nothing claims.
    Sweep,
    /// Removes what was made and is not published.
    Discard,
}

/// Direction of a plan when it cannot go on, and after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Back: everything is undone.
    Back,
    /// On: what is not done yet is done.
    Forward,
}

/// Fate of the VM when its plan was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its row goes: it never was.
    Forget,
    /// It is `error` with the cause, or in this state when the plan was cancelled or cut off by a crash.
    Keep(VmState),
    /// It is in this state, with the cause, and the same operation starts it in another way. What that does not get to is as with
    /// [`Ending::Keep`].
    Again(VmState),
}

/// A plan. Plain data: it is stored as JSON and read back by recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub version: u32,
    /// Its id, ordered by the time of its making.
    pub id: Uuid,
    /// The operation that it is part of.
    pub operation: OperationId,
    /// Its effect.
    pub kind: PlanKind,
    /// The VM that it changes.
    pub vm: Option<VmId>,
    /// Owner of what its steps make.
    pub owner: Owner,
    /// Its direction when it cannot go on.
    pub direction: Direction,
    /// Changes of the store at its beginning, in the transaction that writes the plan.
    pub begin: Vec<Change>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// Changes of the store at its end, in the transaction that finishes the plan.
    pub done: Vec<Change>,
    /// Fate of the VM when the plan was undone.
    pub ending: Option<Ending>,
}

/// Version of the plan's JSON that this build writes. It reads all older ones and refuses newer ones.
pub(crate) const PLAN_VERSION: u32 = 2;

/// Cause that a stored plan cannot be read. It stays unfinished, with its claims.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A newer build wrote it.
    #[error("plan {id} has version {found}; this banger knows versions up to {PLAN_VERSION}")]
    Newer {
        /// Its id.
        id: Uuid,
        /// Its version.
        found: u32,
    },
    /// It would remove what is not banger's.
    #[error("plan {id} would remove {}, which is outside banger's directories", path.display())]
    Outside {
        /// Its id.
        id: Uuid,
        /// Path that it would remove.
        path: PathBuf,
    },
    /// It is no plan.
    #[error("plan {id} cannot be read: {source}")]
    Damaged {
        /// Its id.
        id: Uuid,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
}

impl Plan {
    /// A plan as the journal has it.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn read(record: &PlanRecord) -> Result<Self, PlanError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let id = record.id;
        let damaged = |source| PlanError::Damaged { id, source };
        // The version is looked at before the rest, which a newer build may have changed.
        let head: Head = serde_json::from_str(&record.plan).map_err(damaged)?;
        match head.version.max(record.version) {
            found if found > PLAN_VERSION => Err(PlanError::Newer { id, found }),
            version => {
                let mut plan: Self = serde_json::from_str(&record.plan).map_err(damaged)?;
                if version == 1 {
                    plan.bring_causes_forward();
                }
                Ok(plan)
            }
        }
    }

    /// The same plan, unless it would remove what is not banger's on this host: a plan was read from a file that
    /// another build, or a bad disk, may have written.
    ///
    /// # Errors
    /// [`PlanError::Outside`].
    pub(crate) fn checked(self, host: &dyn Host) -> Result<Self, PlanError> {
        let removed = self.steps.iter().flat_map(|step| step.body().removes());
        let outside = removed.into_iter().find(|path| !host.owns(path));
        match outside.map(Path::to_path_buf) {
            None => Ok(self),
            Some(path) => Err(PlanError::Outside { id: self.id, path }),
        }
    }

    /// Version 1 told the cause of an end by its sentence alone.
    fn bring_causes_forward(&mut self) {
        let cause = |change: &Change| match change {
            Change::SetVmState {
                vm,
                error: Some(sentence),
                ..
            } => ExitCause::of_format_1(sentence).map(|cause| (*vm, cause)),
            _ => None,
        };
        let causes: Vec<_> = self.done.iter().filter_map(cause).collect();
        let causes = causes.into_iter().map(|(vm, cause)| Change::SetExit {
            vm,
            exit: Some(cause),
        });
        self.done.extend(causes);
    }

    /// The VM that a plan which cannot be read seems to concern.
    pub(crate) fn vm_of_unreadable(record: &PlanRecord) -> Option<VmId> {
        #[derive(Deserialize)]
        struct Concerns {
            vm: Option<VmId>,
        }
        serde_json::from_str::<Concerns>(&record.plan).ok()?.vm
    }

    /// A plan without steps yet.
    pub fn new(
        operation: OperationId,
        kind: PlanKind,
        vm: Option<VmId>,
        owner: Owner,
        direction: Direction,
    ) -> Self {
        Self {
            version: PLAN_VERSION,
            id: Uuid::now_v7(),
            operation,
            kind,
            vm,
            owner,
            direction,
            begin: Vec::new(),
            steps: Vec::new(),
            done: Vec::new(),
            ending: None,
        }
    }

    /// A plan about a VM, which owns what it makes, without steps yet.
    pub fn of_vm(operation: OperationId, kind: PlanKind, vm: VmId, direction: Direction) -> Self {
        Self::new(operation, kind, Some(vm), Owner::Vm(vm), direction)
    }

    /// Changes of the store when the plan was undone, for this cause (`None`: it was cut off by a crash).
    pub(crate) fn undone(&self, cause: Option<&banger_api::ApiError>) -> Vec<Change> {
        let Some((vm, ending)) = self.vm.zip(self.ending) else {
            return Vec::new();
        };
        match (ending, cause) {
            (Ending::Forget, _) => vec![Change::DeleteVm(vm)],
            // It runs on as before.
            (Ending::Again(VmState::Running), _) => vec![Change::SetVmState {
                vm,
                state: VmState::Running,
                error: None,
            }],
            // A crash before the other way begins leaves a VM that was lost, and says how. A kernel of the VM's own root is taken
            // from there, and the same operation starts it with that one: a reboot of its guest stays due.
            (Ending::Again(state), Some(cause)) | (Ending::Keep(state), Some(cause))
                if again(ending, cause) =>
            {
                vec![Change::SetVmState {
                    vm,
                    state,
                    error: Some(cause.message.clone()),
                }]
            }
            (Ending::Keep(_), Some(cause)) if cause.code != ErrorCode::Cancelled => {
                vec![Change::SetVmState {
                    vm,
                    state: VmState::Error,
                    error: Some(cause.message.clone()),
                }]
            }
            (Ending::Keep(state) | Ending::Again(state), Some(_)) => {
                let state = Change::SetVmState {
                    vm,
                    state,
                    error: None,
                };
                vec![state, Change::StaysDown(vm)]
            }
            (Ending::Keep(state) | Ending::Again(state), None) => vec![Change::SetVmState {
                vm,
                state,
                error: Some("it was interrupted: the daemon or the host went down".to_owned()),
            }],
        }
    }
}

/// Tells whether the operation of a plan that was undone for this cause goes on in another way.
fn again(ending: Ending, cause: &banger_api::ApiError) -> bool {
    match ending {
        Ending::Again(_) => cause.code != ErrorCode::Cancelled,
        Ending::Keep(_) => cause.code == ErrorCode::OtherKernel,
        Ending::Forget => false,
    }
}
