//! Removing VMs.

use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, PruneVms, Pruned, VmState};
use banger_api::{ApiError, ErrorCode, VmId, VmName};
use banger_ops::policy::Request;
use banger_ops::{Change, plans};
use banger_store::{KernelRecord, OwnKernel, VmRecord, vm};

use super::on_vm::{Turn, Verb, on_vm};
use super::vm_view;
use crate::image::forget_with_vm;
use crate::{Control, artifact, find_vm, layers};

/// Removes a VM with all that it has. A deletion that runs already is joined.
///
/// # Errors
/// `not_found`, `wrong_state` for a running one without `force`.
pub fn delete(control: &Control, reference: &str, force: bool) -> Result<Accepted, ApiError> {
    let record = find_vm(control, reference)?;
    if let Some(running) = control
        .operations()
        .running_on(record.id, OperationKind::DeleteVm)
    {
        return Ok(running.accepted(Some(vm_view(&record))));
    }
    let verb = Verb {
        done_when_gone: true,
        ..Verb::new(
            OperationKind::DeleteVm,
            Request::Delete { force },
            VmState::Deleting,
        )
    };
    on_vm(control, &record.id.to_string(), verb, |turn| turn.delete())
}

impl Turn<'_> {
    /// Deletes the VM, and its image when that was there for this VM alone.
    pub(super) fn delete(&self) -> Result<(), ApiError> {
        self.delete_after(Vec::new())
    }

    /// Deletes the VM under the name `spare`; with the beginning of that the VM `to` has its name.
    pub(super) fn give_way(&self, to: VmId, spare: VmName) -> Result<(), ApiError> {
        let name = |vm, name| Change::SetName { vm, name };
        let names = vec![
            name(self.record.id, spare),
            name(to, self.record.name.clone()),
        ];
        self.delete_after(names)
    }

    /// Deletes the VM; `changes` are made in the transaction with which that begins.
    fn delete_after(&self, mut changes: Vec<Change>) -> Result<(), ApiError> {
        let mut plan = plans::delete(self.op.id, &self.record, &self.files());
        changes.append(&mut plan.begin);
        plan.begin = changes;
        self.run_to_the_end(plan)?;
        layers::forget_unused(self.control, self.op);
        forget_with_vm(self.control, self.op, &self.record.image);
        if self.record.own_kernel == OwnKernel::Taken {
            artifact::forget_unused::<KernelRecord>(self.control, self.op);
        }
        Ok(())
    }
}

/// Deletes an ephemeral VM whose run never began, or is over. One that is gone already is fine.
pub fn delete_unclaimed(control: &Control, vm: VmId) {
    match delete(control, &vm.to_string(), true) {
        Err(error) if error.code != ErrorCode::NotFound => {
            tracing::error!(%vm, %error, "cannot delete an ephemeral VM");
        }
        _ => {}
    }
}

/// Removes every VM that does not run, and that the labels select.
///
/// # Errors
/// Only the store's.
pub fn prune(control: &Control, request: &PruneVms) -> Result<Pruned, ApiError> {
    let idle = |vm: &VmRecord| {
        vm.labels.match_all(&request.labels)
            && matches!(
                control.operations().expected(vm),
                VmState::Created | VmState::Stopped | VmState::Error
            )
    };
    let mut pruned = Pruned::default();
    // Chosen at one moment: one that stops while others are being deleted was not among those that the caller saw.
    let chosen: Vec<VmRecord> = control.read(vm::list)?.into_iter().filter(idle).collect();
    for record in chosen {
        let files = control.places().vm_of(&record);
        let allocated = |path: &std::path::Path| control.environment().allocated_bytes(path);
        pruned.freed_bytes += allocated(&files.system_overlay()) + allocated(&files.work_disk());
        pruned.vms.push(vm_view(&record));
        if !request.dry_run {
            let accepted = delete(control, &record.id.to_string(), false)?;
            pruned.operations.push(accepted.operation);
        }
    }
    Ok(pruned)
}
