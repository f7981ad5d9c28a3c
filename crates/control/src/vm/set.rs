//! `vm set`: changes of a VM's record. Nothing on the host changes until the next start.

use banger_api::network::ChangeNetwork;
use banger_api::vm::{NetStack, SetVm, Vm};
use banger_api::{ApiError, ByteSize, ErrorCode, VmId};
use banger_ops::policy::{self, Request};
use banger_ops::store_error;
use banger_store::{VmRecord, vm};

use super::defaults::{check_disk, check_egress, check_memory, check_vcpu};
use super::on_vm::gone;
use super::ports::check_ports;
use super::rules::change_network;
use super::vm_view;
use crate::locks::Key;
use crate::{Control, find_vm};

/// Changes a VM's settings when its turn has come, and calls `answer` with the changed VM, or with the error that kept it
/// unchanged: `not_found`, `wrong_state`, `invalid_argument`, `name_taken`.
pub fn set(
    control: &Control,
    reference: &str,
    request: SetVm,
    answer: impl FnOnce(Result<Vm, ApiError>) + Send + 'static,
) {
    let id = match find_vm(control, reference) {
        Ok(record) => record.id,
        Err(error) => return answer(Err(error)),
    };
    let task = control.clone();
    control.operations().queue(Key::Vm(id), move |_held| {
        answer(set_locked(&task, id, &request));
    });
}

/// Changes the settings of a VM whose lock is held.
fn set_locked(control: &Control, id: VmId, request: &SetVm) -> Result<Vm, ApiError> {
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
    let changed = apply(&record, &request)?;
    let stored = changed.clone();
    control
        .store()
        .write(move |tx| {
            let mut stored = stored;
            // A rename of the image changes its VMs' records without their locks.
            // So do rules of its network.
            if let Some(now) = vm::by_id(tx, stored.id)? {
                stored.image = now.image;
                stored.network = now.network;
                if stored.network.stack == NetStack::Own {
                    stored.egress = now.egress;
                }
            }
            vm::update(tx, &stored)
        })
        .map_err(store_error)?;
    if changed.name != record.name {
        control.environment().vms_changed(control);
    }
    Ok(vm_view(&changed))
}

fn apply(record: &VmRecord, request: &SetVm) -> Result<VmRecord, ApiError> {
    let mut new = record.clone();
    if let Some(name) = &request.name {
        new.name = name.clone();
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
    if let Some(egress) = request.egress {
        check_egress(new.network.stack, Some(egress))?;
        new.egress = egress;
    }
    if let Some(publish) = &request.publish {
        check_ports(new.net, publish)?;
        new.publish.clone_from(publish);
    }
    new.restart_needed = new.restart_needed || new != *record;
    // No settings of the machine: they hold at once.
    new.restart = request.restart.unwrap_or(record.restart);
    new.labels = record
        .labels
        .changed(&request.labels)
        .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, error.to_string()))?;
    Ok(new)
}
