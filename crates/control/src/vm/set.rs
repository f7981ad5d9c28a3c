//! `vm set`: changes of a VM's record. They apply at the next start, but for the size of the work disk of a VM that runs:
//!
//! ```text
//! check all ─► plan "grow": file, VMM, guest's file system ─► record
//!                       └─ the guest cannot be asked: at the next start, too
//! ```

use banger_api::network::ChangeNetwork;
use banger_api::operation::OperationKind;
use banger_api::vm::{MachineSize, NetStack, SetVm, Vm, VmState};
use banger_api::{ApiError, ByteSize, ErrorCode, VmId};
use banger_ops::policy::{self, Request};
use banger_ops::{plans, store_error};
use banger_store::{VmNetwork, VmRecord, vm};

use super::defaults::{check_disk, check_egress, check_memory, check_vcpu};
use super::on_vm::gone;
use super::own_kernel;
use super::ports::check_ports;
use super::published::publish;
use super::rules::{change_network, check_joined};
use super::vm_view;
use crate::locks::Key;
use crate::operations::{Asked, Running};
use crate::{Control, find_vm};

/// Changes a VM's settings when its turn has come, and calls `answer` with the changed VM, or with the error that kept it
/// unchanged: `not_found`, `wrong_state`, `invalid_argument`, `name_taken`.
pub fn set(
    control: &Control,
    reference: &str,
    request: SetVm,
    answer: impl FnOnce(Result<Vm, ApiError>) + Send + 'static,
) {
    let answer = Answer::new(answer);
    let record = match find_vm(control, reference) {
        Ok(record) => record,
        Err(error) => return answer.give(Err(error)),
    };
    let (id, task) = (record.id, control.clone());
    if request.disk_size.is_none() {
        control.operations().queue(Key::Vm(id), move |_held| {
            answer.give(set_locked(&task, id, &request, None));
        });
        return;
    }
    let asked = Asked {
        kind: OperationKind::SetDisk,
        vm: Some((id, record.name.to_string())),
        leads_to: None,
        keys: vec![Key::Vm(id)],
    };
    let spawned = control.operations().spawn(asked, move |op, _locked| {
        let set = set_locked(&task, id, &request, Some(op));
        let outcome = set.as_ref().map(drop).map_err(Clone::clone);
        answer.give(set);
        outcome
    });
    if let Err(error) = spawned {
        // Whoever asked has been answered as the work was dropped.
        tracing::warn!(vm = %record.name, %error, "settings were not changed");
    }
}

/// Whoever asked for a change, who gets one answer, whatever becomes of the work.
pub(super) struct Answer<F: FnOnce(Result<Vm, ApiError>)>(Option<F>);

impl<F: FnOnce(Result<Vm, ApiError>)> Answer<F> {
    pub(super) fn new(answer: F) -> Self {
        Self(Some(answer))
    }

    pub(super) fn give(mut self, set: Result<Vm, ApiError>) {
        if let Some(answer) = self.0.take() {
            answer(set);
        }
    }
}

impl<F: FnOnce(Result<Vm, ApiError>)> Drop for Answer<F> {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            let message = "nothing was changed: it was given up before its turn";
            answer(Err(ApiError::new(ErrorCode::Cancelled, message)));
        }
    }
}

/// Changes the settings of a VM whose lock is held.
fn set_locked(
    control: &Control,
    id: VmId,
    request: &SetVm,
    op: Option<&Running>,
) -> Result<Vm, ApiError> {
    control.settle(id)?;
    let record = control.read(|db| vm::by_id(db, id))?.ok_or_else(gone)?;
    policy::check_damage(Request::Set, &record)?;
    policy::check(Request::Set, record.name.as_str(), record.state)?;
    let (record, request) = match (request.egress, record.network.stack) {
        // A network process takes it at once.
        (egress @ Some(_), NetStack::Own) => {
            let change = ChangeNetwork {
                egress,
                ..ChangeNetwork::default()
            };
            change_network(control, &id.to_string(), &change)?;
            let rest = SetVm {
                egress: None,
                ..request.clone()
            };
            (
                control.read(|db| vm::by_id(db, id))?.ok_or_else(gone)?,
                rest,
            )
        }
        _ => (record, request.clone()),
    };
    let runs = record.state == VmState::Running && record.network.process.is_some();
    let (record, request) = match &request.publish {
        Some(ports) if runs => {
            // All of the request is checked before a part of it holds.
            apply(control, &record, &request)?;
            let record = publish(control, &record, ports.clone())?;
            let rest = SetVm {
                publish: None,
                ..request
            };
            (record, rest)
        }
        _ => (record, request),
    };
    let mut changed = apply(control, &record, &request)?;
    if changed.disk_bytes > record.disk_bytes && record.state == VmState::Running {
        let grown = grow(control, &record, changed.disk_bytes, op)?;
        changed.restart_needed |= !grown;
    }
    let stored = changed.clone();
    control
        .store()
        .write(move |tx| {
            let mut stored = stored;
            // A rename of the image changes its VMs' records without their locks.
            // So do rules of its network.
            if let Some(now) = vm::by_id(tx, stored.id)? {
                stored.image = now.image;
                stored.network = VmNetwork {
                    joined: stored.network.joined.take(),
                    ..now.network
                };
                if stored.network.stack == NetStack::Own {
                    stored.egress = now.egress;
                }
            }
            vm::update(tx, &stored)
        })
        .map_err(store_error)?;
    let is_elsewhere = changed.network.joined != record.network.joined;
    if changed.name != record.name || is_elsewhere {
        control.environment().vms_changed(control);
    }
    Ok(vm_view(&changed))
}

/// Grows the work disk of a VM that runs. `false`: the guest, or its VMM, cannot be asked for it, so the next start will do it.
fn grow(
    control: &Control,
    record: &VmRecord,
    bytes: u64,
    op: Option<&Running>,
) -> Result<bool, ApiError> {
    let Some((vmm, op)) = plans::identity(record).zip(op) else {
        return Ok(false);
    };
    let files = control.places().vm_of(record);
    let plan = plans::grow_disk(op.id, record, vmm, &files, bytes);
    match control.run(plan, op) {
        Ok(()) => Ok(true),
        Err(error) if later(error.code) => {
            tracing::warn!(vm = %record.name, %error, "a work disk grows at the next start");
            Ok(false)
        }
        Err(error) => {
            let name = &record.name;
            let message = format!(
                "cannot grow the work disk of VM \"{name}\" while it runs: {}",
                error.message
            );
            Err(ApiError::new(error.code, message).hint(format!(
                "stop it first: banger vm stop {name}; then it grows at the next start"
            )))
        }
    }
}

/// Tells whether a failure is that nobody could be asked, which a start mends, and no refusal.
fn later(code: ErrorCode) -> bool {
    use ErrorCode as C;
    matches!(code, C::GuestUnreachable | C::VmmFailed | C::Timeout)
}

fn apply(control: &Control, record: &VmRecord, request: &SetVm) -> Result<VmRecord, ApiError> {
    let mut new = record.clone();
    if let Some(name) = &request.name {
        new.name = name.clone();
    }
    if let Some(kernel) = &request.kernel {
        own_kernel::choose(control, &mut new, kernel)?;
    }
    if let Some(vcpu) = request.vcpu {
        new.vcpu = check_vcpu(vcpu)?;
    }
    if let Some(memory) = request.memory {
        new.memory_mib = check_memory(memory.as_mib())?;
    }
    if let Some(size) = request.disk_size {
        let (now, size) = (ByteSize(record.disk_bytes), check_disk("work disk", size)?);
        if size < now {
            let message = format!("the work disk has {now} and cannot shrink to {size}");
            return Err(ApiError::new(ErrorCode::InvalidArgument, message).hint(
                "a work disk only grows; copy what you need into a new VM for a smaller one",
            ));
        }
        new.disk_bytes = size.bytes();
    }
    if let Some(net) = request.net {
        new.net = net;
    }
    if request.leave {
        new.network.joined = None;
    }
    if let Some(join) = &request.join {
        new.network.joined = Some(join.clone());
        check_joined(&new)?;
    }
    if let Some(egress) = request.egress {
        check_egress(new.network.stack, Some(egress))?;
        new.egress = egress;
    }
    if let Some(publish) = &request.publish {
        check_ports(new.net, publish)?;
        new.publish.clone_from(publish);
    }
    // The disk of a VM that runs grows at once, where that is possible; other VMs are joined and left at once.
    let machine = VmRecord {
        network: record.network.clone(),
        disk_bytes: match record.state {
            VmState::Running => record.disk_bytes,
            _ => new.disk_bytes,
        },
        ..new.clone()
    };
    if machine != *record {
        // What runs is what the settings were when nothing of them was to come yet.
        let before = MachineSize {
            vcpu: record.vcpu,
            memory_mib: record.memory_mib,
        };
        let known = (!record.restart_needed).then_some(before);
        new.runs = record.runs.or(known);
        new.restart_needed = true;
    }
    // No settings of the machine: they hold at once.
    new.restart = request.restart.unwrap_or(record.restart);
    new.labels = record
        .labels
        .changed(&request.labels)
        .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, error.to_string()))?;
    Ok(new)
}
