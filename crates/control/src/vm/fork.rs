//! VMs that begin as another one was at a checkpoint, or is now.

use std::sync::Arc;

use banger_api::checkpoint::ForkVm;
use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, VmState};
use banger_api::{ApiError, CheckpointId, ErrorCode, VmId, VmName};
use banger_ops::policy::Request;
use banger_ops::{Events as _, plans};
use banger_store::{CheckpointRecord, Reboots, VmDisks, VmNetwork, VmRecord, vm};

use super::checkpoint::{find, usable};
use super::create::name_taken;
use super::on_vm::{Turn, Verb, on_vm};
use super::vm_view;
use crate::locks::Key;
use crate::{Control, find_vm};

/// Most VMs of one request.
const COUNT_MAX: u32 = 32;

/// A VM that is to be made.
#[derive(Debug, Clone)]
struct Child {
    id: VmId,
    name: VmName,
}

/// Makes VMs whose disks are those of another one: as they were at a checkpoint, or as they are, which is made a checkpoint then.
/// None of them is started.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`, `name_taken`.
pub fn fork(control: &Control, reference: &str, request: ForkVm) -> Result<Accepted, ApiError> {
    let parent = find_vm(control, reference)?;
    let from = match &request.checkpoint {
        Some(checkpoint) => Some(find(control, parent.id, checkpoint)?.id),
        None => None,
    };
    let children: Vec<Child> = names(control, &parent, &request)?
        .into_iter()
        .map(|name| Child {
            id: VmId::new(),
            name,
        })
        .collect();
    let now_ms = control.now_ms();
    let views = children
        .iter()
        .map(|child| vm_view(&record(&parent, child, None, now_ms)));
    let forks = views.collect();
    let verb = Verb {
        leads_to: None,
        ..Verb::new(
            OperationKind::ForkVm,
            match from {
                Some(_) => Request::Set,
                // As a checkpoint.
                None => Request::Restart,
            },
            VmState::Stopped,
        )
    };
    let accepted = on_vm(control, &parent.id.to_string(), verb, move |turn| {
        turn.fork(from, &children)
    })?;
    Ok(Accepted { forks, ..accepted })
}

impl Turn<'_> {
    fn fork(&self, from: Option<CheckpointId>, children: &[Child]) -> Result<(), ApiError> {
        let from = match from {
            Some(id) => usable(self.checkpoint_of(id)?)?,
            None => self.checkpoint_of(self.checkpoint(None)?)?,
        };
        let mut failed = Vec::new();
        for child in children {
            if let Err(error) = self.make(child, &from) {
                if error.code == ErrorCode::Cancelled {
                    return Err(error);
                }
                failed.push((child, error));
            }
        }
        let last = failed.pop();
        for (child, error) in failed {
            self.op.warn(&format!(
                "VM \"{}\" was not made: {}",
                child.name, error.message
            ));
        }
        last.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Makes one of them. Nobody knows it before, so its lock is free.
    fn make(&self, child: &Child, from: &CheckpointRecord) -> Result<(), ApiError> {
        let control = self.control;
        let _held = control.operations().hold(self.op, Key::Vm(child.id))?;
        let record = record(&self.record, child, Some(from), control.now_ms());
        let files = control.places().vm_of(&record);
        let Some(layer) = from.layers.last() else {
            return Err(super::checkpoint::kept_nothing(from));
        };
        let layer = control.places().layer(*layer);
        let op = Arc::clone(self.op);
        control.run(plans::fork(op.id, &record, &files, &layer), &op)
    }
}

/// The record of a VM that is made from another one. What can be one VM's alone (ports of this host, addresses, processes) is not
/// taken over.
fn record(
    parent: &VmRecord,
    child: &Child,
    from: Option<&CheckpointRecord>,
    now_ms: i64,
) -> VmRecord {
    VmRecord {
        id: child.id,
        name: child.name.clone(),
        state: VmState::Created,
        disk_bytes: from.map_or(parent.disk_bytes, |from| from.disk_bytes),
        overlay_bytes: from.map_or(parent.overlay_bytes, |from| from.overlay_bytes),
        disks: VmDisks {
            layers: from.map(|from| from.layers.clone()).unwrap_or_default(),
            ..VmDisks::default()
        },
        network: VmNetwork {
            address: None,
            door: None,
            process: None,
            ..parent.network.clone()
        },
        publish: Vec::new(),
        ephemeral: false,
        restart_needed: false,
        runs: None,
        vmm: None.into(),
        created_ms: now_ms,
        started_ms: None,
        error: None,
        exit: None,
        reboots: Reboots::default(),
        ..parent.clone()
    }
}

/// Names of the VMs: the one that was asked for, or numbered ones.
fn names(control: &Control, parent: &VmRecord, request: &ForkVm) -> Result<Vec<VmName>, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidArgument, message);
    let count = request.count.unwrap_or(1);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(invalid(format!(
            "{count} forks are not possible: use 1 to {COUNT_MAX}"
        )));
    }
    let taken = control.read(vm::names)?;
    let is_taken = |name: &str| taken.iter().any(|known| known == name);
    if let (Some(name), 1) = (&request.name, count) {
        return match is_taken(name.as_str()) {
            true => Err(name_taken(name)),
            false => Ok(vec![name.clone()]),
        };
    }
    let base = request.name.as_ref().unwrap_or(&parent.name);
    let room = VmName::MAX_LEN - "-9999".len();
    let base = base.as_str().get(..room).unwrap_or(base.as_str());
    let numbered = (1..).map(|number: u32| format!("{base}-{number}"));
    let free = numbered.filter(|name| !is_taken(name));
    free.take(count as usize)
        .map(|name| name.parse().map_err(|error| invalid(format!("{error}"))))
        .collect()
}
