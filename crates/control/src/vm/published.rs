//! `vm port`: published ports of a VM, which come and go while it runs.
//!
//! ```text
//! runs    checked ─► claimed and on record ─► the process listens ─► what goes is off the record, its claim released
//!                                              └─ it cannot: the ports as before, nothing is claimed that was not
//! stopped checked ─► on record
//! ```
//! A daemon that dies in between leaves on record what is claimed, and the next one has the process listen at it.

use banger_api::vm::{ChangePorts, NetStack, Publish, Vm, VmState};
use banger_api::{ApiError, ErrorCode, VmId};
use banger_net_control::NetIdentity;
use banger_ops::policy::{self, Request};
use banger_ops::{NetPlan, store_error};
use banger_store::{Claim, Owner, VmRecord, claim, vm};

use super::on_vm::gone;
use super::ports::check_ports;
use super::set::Answer;
use super::vm_view;
use crate::locks::Key;
use crate::{Control, find_vm};

/// Changes the published ports of a VM when its turn has come, and calls `answer` with the changed VM, or with the error that kept
/// it unchanged.
pub fn change_ports(
    control: &Control,
    reference: &str,
    request: ChangePorts,
    answer: impl FnOnce(Result<Vm, ApiError>) + Send + 'static,
) {
    let answer = Answer::new(answer);
    let id = match find_vm(control, reference) {
        Ok(record) => record.id,
        Err(error) => return answer.give(Err(error)),
    };
    let task = control.clone();
    control.operations().queue(Key::Vm(id), move |_held| {
        answer.give(change_locked(&task, id, &request));
    });
}

fn change_locked(control: &Control, id: VmId, request: &ChangePorts) -> Result<Vm, ApiError> {
    control.settle(id)?;
    let record = control.read(|db| vm::by_id(db, id))?.ok_or_else(gone)?;
    policy::check_damage(Request::Set, &record)?;
    policy::check(Request::Set, record.name.as_str(), record.state)?;
    let runs = record.state == VmState::Running;
    if runs && record.network.stack == NetStack::Slirp {
        let name = &record.name;
        let message =
            format!("VM \"{name}\" runs on QEMU's own network, whose ports are those of its start");
        return Err(ApiError::new(ErrorCode::WrongState, message).hint(format!(
            "banger vm set {name} --publish HOST:GUEST publishes at the next start; stack = \"own\" below [network] in config.toml gives new VMs a network whose ports come and go"
        )));
    }
    if let Some(missing) = request
        .remove
        .iter()
        .find(|one| !record.publish.contains(one))
    {
        let message = format!("VM \"{}\" does not publish {missing}", record.name);
        let hint = format!("banger vm port list {} shows all", record.name);
        return Err(ApiError::new(ErrorCode::NotFound, message).hint(hint));
    }
    let mut wanted = record.publish.clone();
    wanted.retain(|one| !request.remove.contains(one));
    for one in &request.add {
        if !wanted.contains(one) {
            wanted.push(one.clone());
        }
    }
    Ok(vm_view(&publish(control, &record, wanted)?))
}

/// Publishes exactly these ports of a VM whose lock is held: at once where it runs on banger's own network.
///
/// # Errors
/// `invalid_argument`; `in_use` for a port that somebody else has. Nothing is changed then.
pub(super) fn publish(
    control: &Control,
    record: &VmRecord,
    wanted: Vec<Publish>,
) -> Result<VmRecord, ApiError> {
    check_ports(record.net, &wanted)?;
    let net = match &record.network.process {
        Some(net) if record.state == VmState::Running => net,
        _ => return stored(control, record, &[], &[], wanted),
    };
    let without = |some: &[Publish], others: &[Publish]| -> Vec<Publish> {
        let new = some.iter().filter(|one| !others.contains(one));
        new.cloned().collect()
    };
    let added = without(&wanted, &record.publish);
    let gone = without(&record.publish, &wanted);
    check_door(record, &added)?;
    let both = [&record.publish[..], &added].concat();
    let claimed = stored(control, record, &added, &[], both)?;
    let after = VmRecord {
        publish: wanted.clone(),
        ..claimed
    };
    if let Err(error) = listen(control, net, &after, &added) {
        // Only what the process does not listen at for sure may be anybody's again.
        listen(control, net, record, &[])?;
        stored(control, record, &[], &added, record.publish.clone())?;
        return Err(error);
    }
    stored(control, record, &[], &gone, wanted)
}

/// Has the process of a VM that runs listen at the ports of its record.
///
/// # Errors
/// The process does not answer.
pub(crate) fn give_ports(control: &Control, id: VmId) -> Result<(), ApiError> {
    let record = control.read(|db| vm::by_id(db, id))?;
    let Some(record) = record.filter(|record| record.state == VmState::Running) else {
        return Ok(());
    };
    match &record.network.process {
        Some(net) => listen(control, net, &record, &[]),
        None => Ok(()),
    }
}

/// Has a process listen at the ports of a record. Only that it does not at one of `needed` is an error.
fn listen(
    control: &Control,
    net: &NetIdentity,
    record: &VmRecord,
    needed: &[Publish],
) -> Result<(), ApiError> {
    let ports = NetPlan::of(record).map_or_else(Vec::new, |plan| plan.ports());
    let missing = control
        .environment()
        .set_ports(net, &ports, record.network.address)?;
    for (port, cause) in missing {
        let (ip, host_port) = (port.host_ip, port.host_port);
        let message = format!("host port {host_port} cannot be published at {ip}: {cause}");
        let is_it = |one: &Publish| (one.host_ip, one.host_port) == (ip, host_port);
        if needed.iter().any(is_it) {
            return Err(ApiError::new(ErrorCode::InUse, message)
                .hint("another port of this host: HOST:GUEST in the place of GUEST"));
        }
        tracing::warn!(vm = %record.name, "{message}");
    }
    Ok(())
}

/// Stores the published ports of a VM, with claims taken and given back in the same transaction.
fn stored(
    control: &Control,
    record: &VmRecord,
    taken: &[Publish],
    released: &[Publish],
    publish: Vec<Publish>,
) -> Result<VmRecord, ApiError> {
    let id = record.id;
    let claims = |ports: &[Publish]| -> Vec<Claim> {
        let claim = |one: &Publish| Claim::host_port(one.host_ip, one.host_port);
        ports.iter().map(claim).collect()
    };
    let (taken, released) = (claims(taken), claims(released));
    let stored = control.store().write(move |tx| {
        let Some(mut now) = vm::by_id(tx, id)? else {
            return Ok(None);
        };
        for one in &taken {
            claim::add(tx, one, &Owner::Vm(id))?;
        }
        for one in &released {
            claim::release(tx, one, &Owner::Vm(id))?;
        }
        now.publish = publish;
        vm::update(tx, &now)?;
        Ok(Some(now))
    });
    stored.map_err(store_error)?.ok_or_else(gone)
}

/// Refuses what the door of a running guest cannot lead to.
fn check_door(record: &VmRecord, added: &[Publish]) -> Result<(), ApiError> {
    let name = &record.name;
    let again = format!("banger vm restart {name}");
    let Some(door) = record.network.door else {
        return match added.is_empty() {
            true => Ok(()),
            false => {
                let message = format!(
                    "VM \"{name}\" was started by an older banger, whose ports are those of its start"
                );
                Err(ApiError::new(ErrorCode::WrongState, message).hint(again))
            }
        };
    };
    match added.iter().find(|one| one.guest_port == door) {
        None => Ok(()),
        Some(_) => {
            let message = format!(
                "port {door} of VM \"{name}\" is its agent's until the VM is started again"
            );
            Err(ApiError::new(ErrorCode::InUse, message)
                .hint(format!("vm set {name} --publish, then {again}")))
        }
    }
}
