//! Recovery: what a crash has left, put in order before any request is served. It may be cut off and run again.
//!
//! ```text
//! unfinished plans ─► Back: undone   Forward: carried on
//! operations that nobody runs any more ─► failed ("interrupted"), their own claims' directories removed
//! VMs in `running` ─► adopted (pid + start time + executable + socket) or `stopped`/`error` with the cause
//! ```

use banger_api::operation::{OperationKind, OperationState};
use banger_api::vm::VmState;
use banger_api::{ApiError, ErrorCode, ExitCause, OperationId, VmId};
use banger_engine::VmmIdentity;
use banger_store::{
    ClaimKind, Connection, Durability, Owner, PlanRecord, RecordedVmm, StoreError, VmRecord, claim,
    operation, vm,
};

use crate::layout::{VmFiles, parent};
use crate::own::OwnDir;
use crate::steps::in_directory;
use crate::{Cancel, Direction, HostResult, NoEvents, Plan, PlanError, Runner, plans, store_error};

/// Report of a recovery.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Plans that were undone.
    pub undone: usize,
    /// Plans that were carried on.
    pub carried_on: usize,
    /// VMs whose VMM runs on.
    pub adopted: Vec<VmId>,
    /// VMs whose VMM had ended.
    pub demoted: Vec<VmId>,
    /// VMs whose making was cut off before their guest was ever reachable, with the operation that made them. The
    /// caller deletes them and then ends the operation, which stays `running` until then: a crash in between is found
    /// again.
    pub half_made: Vec<(OperationId, VmId)>,
    /// Things that could not be put in order, and stay claimed.
    pub failed: Vec<String>,
}

/// Recovery over a runner's store and host.
pub struct Recovery<'a> {
    runner: Runner,
    /// Places of a VM's files.
    files: &'a dyn Fn(VmId) -> VmFiles,
}

impl<'a> Recovery<'a> {
    /// Recovery with this runner. `files` says where a VM's files are.
    pub fn new(runner: &Runner, files: &'a dyn Fn(VmId) -> VmFiles) -> Self {
        Self {
            runner: runner.for_recovery(),
            files,
        }
    }

    /// Puts everything in order. Nothing else may use the store or the host's resources meanwhile.
    ///
    /// # Errors
    /// Only when the store cannot be read: a single thing that resists is reported in [`Recovered::failed`].
    pub fn run(&self) -> HostResult<Recovered> {
        let mut report = Recovered::default();
        let store = self.runner.store();
        // Newest first: a later plan stands on what an earlier one of the same operation made.
        let plans = store
            .read(operation::unfinished_plans)
            .map_err(store_error)?;
        for record in plans.iter().rev() {
            if let Err(error) = self.plan(record, &mut report) {
                report.failed.push(error.message);
            }
        }
        self.unreadable(&mut report)?;
        self.end_operations(&mut report)?;
        for record in store.read(vm::list).map_err(store_error)? {
            if let Err(error) = self.vm(&record, &mut report) {
                report
                    .failed
                    .push(format!("VM {}: {}", record.name, error.message));
            }
        }
        Ok(report)
    }

    fn plan(&self, record: &PlanRecord, report: &mut Recovered) -> HostResult<()> {
        let read = Plan::read(record).and_then(|plan| plan.checked(&**self.runner.host()));
        let plan = match read {
            Ok(plan) => plan,
            Err(error) => return Err(self.isolate(record, &error)?),
        };
        // One that resists stays with the runner, which tries again before anything else happens to its VM.
        self.runner.resume(&plan)?;
        match plan.direction {
            Direction::Back => report.undone += 1,
            Direction::Forward => report.carried_on += 1,
        }
        Ok(())
    }

    /// Leaves a plan that cannot be read as it is, with its claims, and says so at its VM.
    fn isolate(&self, record: &PlanRecord, error: &PlanError) -> HostResult<ApiError> {
        let of = record.operation;
        let store = self.runner.store();
        let op = store
            .read(|db| operation::operation(db, of))
            .map_err(store_error)?;
        let vm = Plan::vm_of_unreadable(record).or_else(|| op.and_then(|op| op.vm));
        let error = ApiError::new(ErrorCode::Internal, error.to_string());
        if let Some(id) = vm {
            self.runner.note_unreadable(id, error.message.clone());
            let change = crate::Change::SetVmState {
                vm: id,
                state: VmState::Error,
                error: Some(error.message.clone()),
            };
            store
                .write_as(Durability::Soon, move |tx| change.apply(tx))
                .map_err(store_error)?;
        }
        Ok(error)
    }

    /// Reports rows that cannot be read. They stay as they are, and so does what they claim.
    fn unreadable(&self, report: &mut Recovered) -> HostResult<()> {
        let store = self.runner.store();
        let rows = store.read(operation::unreadable).map_err(store_error)?;
        report.failed.extend(
            rows.iter()
                .map(|row| format!("{} {} cannot be read: {}", row.what, row.id, row.why)),
        );
        let claims = store.read(claim::unreadable).map_err(store_error)?;
        report.failed.extend(claims.iter().map(|claim| {
            format!(
                "the claim of {} on {} is of a kind that this banger does not know: {}",
                claim.owner, claim.resource, claim.kind
            )
        }));
        Ok(())
    }

    /// No operation runs now: those that the store thinks are running were cut off. What an operation still claims in
    /// its own name has no other owner: it goes.
    fn end_operations(&self, report: &mut Recovered) -> HostResult<()> {
        let (store, host) = (self.runner.store(), self.runner.host());
        let unfinished = store
            .read(operation::unfinished_plans)
            .map_err(store_error)?;
        let busy = |id: OperationId| unfinished.iter().any(|plan| plan.operation == id);
        for (claim, owner) in store.read(claim::list).map_err(store_error)? {
            let Ok(Owner::Operation(id)) = owner.parse() else {
                continue;
            };
            if busy(id) || claim.kind != ClaimKind::Directory {
                continue;
            }
            let Some(path) = OwnDir::of_claim(&claim).ok().filter(|dir| host.owns(dir)) else {
                let what = &claim.resource;
                report.failed.push(format!(
                    "{owner} claims {what}, which is outside banger's directories: it is left as it is"
                ));
                continue;
            };
            // Durably gone before its claim is: a power cut would bring it back as nobody's.
            let gone = host
                .remove_tree(&path)
                .and_then(|()| host.sync_dir(parent(&path)));
            match gone {
                Ok(()) => store
                    .write_as(Durability::Soon, move |tx| {
                        claim::release(tx, &claim, &Owner::Operation(id))
                    })
                    .map_err(store_error)?,
                Err(error) => report.failed.push(error.message),
            }
        }
        let (now, cut_off) = (host.now_ms(), "interrupted: the daemon went down");
        let half_made = store
            .write_as(Durability::Soon, move |tx| {
                let mut half_made = Vec::new();
                for op in operation::operations(tx, None, u32::MAX)? {
                    if op.state != OperationState::Running {
                        continue;
                    }
                    if let Some(vm) = half_made_by(tx, &op)? {
                        half_made.push((op.id, vm));
                        continue;
                    }
                    let error = ApiError::new(ErrorCode::Internal, cut_off);
                    let json = serde_json::to_string(&error).unwrap_or_default();
                    operation::finish_operation(
                        tx,
                        op.id,
                        OperationState::Failed,
                        now,
                        Some(&json),
                    )?;
                }
                Ok(half_made)
            })
            .map_err(store_error)?;
        report.half_made = half_made;
        Ok(())
    }

    /// Adopts the VMM of a running VM, or says why it is none any more. One that a stop could not end is ended.
    fn vm(&self, record: &VmRecord, report: &mut Recovered) -> HostResult<()> {
        if let Some(why) = &record.damage {
            let message = format!("its record in the store is damaged: {why}");
            return Err(ApiError::new(ErrorCode::Internal, message));
        }
        // What is not understood is left as it is: a VMM that runs may be in the middle of something.
        if self.runner.is_unreadable(record.id) {
            return Ok(());
        }
        self.runner.settle(record.id)?;
        let files = (self.files)(record.id);
        let plan = match record.state {
            VmState::Running => match self.ended(record, &files, report)? {
                Some(cause) => {
                    let now = self.runner.host().now_ms();
                    plans::end_after_exit(record, &files, &cause, None, now)
                }
                None => {
                    report.adopted.push(record.id);
                    return Ok(());
                }
            },
            _ if record.vmm.is_some() || record.network.process.is_some() => {
                plans::end_left_over(record, &files)
            }
            _ => return Ok(()),
        };
        let id = record.id;
        let op = plan.operation;
        let (name, now) = (record.name.to_string(), self.runner.host().now_ms());
        self.runner
            .store()
            .write_as(Durability::Soon, move |tx| {
                operation::insert_operation(
                    tx,
                    &banger_store::OperationRecord {
                        id: op,
                        kind: OperationKind::RecoverVm,
                        vm: Some(id),
                        vm_name: Some(name),
                        state: OperationState::Done,
                        started_ms: now,
                        finished_ms: Some(now),
                        error: None,
                    },
                )
            })
            .map_err(store_error)?;
        self.runner.run(&plan, &NoEvents, &Cancel::new())?;
        report.demoted.push(id);
        Ok(())
    }

    /// Cause of the end of a running VM's VMM; `None` when it lives. One that lives and does not answer (it is stopped,
    /// or the host is slow) is still the user's VM: it is kept, and reported.
    fn ended(
        &self,
        record: &VmRecord,
        files: &VmFiles,
        report: &mut Recovered,
    ) -> HostResult<Option<ExitCause>> {
        let vmm = match &record.vmm {
            RecordedVmm::Known(vmm) => (**vmm).clone(),
            RecordedVmm::None | RecordedVmm::Unreadable { .. } => {
                match self.recognised(record.id, files)? {
                    Some(vmm) => vmm,
                    None => return Ok(Some(ExitCause::Unknown)),
                }
            }
        };
        let Err(silent) = self.runner.host().adopt_vmm(&vmm) else {
            return Ok(None);
        };
        let cause = self.runner.host().vmm_exit(&vmm)?;
        if cause.is_none() {
            let name = &record.name;
            report.failed.push(format!(
                "VM {name} runs and does not answer: {}",
                silent.message
            ));
        }
        Ok(cause)
    }
}

impl Recovery<'_> {
    /// The VMM that runs in a VM's run directory, for a VM whose record does not say which one it is. It is recorded
    /// anew.
    fn recognised(&self, vm: VmId, files: &VmFiles) -> HostResult<Option<VmmIdentity>> {
        let host = self.runner.host();
        if !host.exists(&files.run)? {
            return Ok(None);
        }
        let Some(vmm) = in_directory(&**host, &files.run)?.into_iter().next() else {
            return Ok(None);
        };
        let change = crate::Change::SetVmm {
            vm,
            vmm: Some(vmm.clone()),
        };
        self.runner
            .store()
            .write_as(Durability::Soon, move |tx| change.apply(tx))
            .map_err(store_error)?;
        Ok(Some(vmm))
    }
}

/// The VM that an operation was making and whose guest was never reachable, or that has not replaced the one that it is
/// made for: whoever asked for it has heard of a failure.
fn half_made_by(
    db: &Connection,
    op: &banger_store::OperationRecord,
) -> Result<Option<VmId>, StoreError> {
    let Some(made) = op.vm.map(|id| vm::by_id(db, id)).transpose()?.flatten() else {
        return Ok(None);
    };
    let half_made = match op.kind {
        OperationKind::CreateVm => made.started_ms.is_none(),
        // As soon as it has the name it is all that there is of the two.
        OperationKind::ReplaceVm => op.vm_name.as_deref() != Some(made.name.as_str()),
        _ => false,
    };
    Ok(half_made.then_some(made.id))
}
