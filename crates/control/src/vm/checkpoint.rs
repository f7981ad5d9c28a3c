//! Checkpoints of a VM's disks: making them, going back to them, forgetting them.

use banger_api::checkpoint::{Checkpoint, CreateCheckpoint, RestoreCheckpoint};
use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, VmState};
use banger_api::{ApiError, CheckpointId, CheckpointName, ErrorCode, LayerId, VmId, suggest};
use banger_ops::policy::Request;
use banger_ops::{LayerFiles, plans};
use banger_store::{CheckpointRecord, VmRecord, checkpoint};

use super::on_vm::{Turn, Verb, on_vm};
use super::serial::{SYSTEM, WORK};
use crate::operations::timestamp;
use crate::{Control, find_vm, layers};

/// Most layers below a disk: what is not in the highest is looked for in each.
const LAYERS_MAX: usize = 8;
/// Fewest digits of an id that may stand for it.
const PREFIX_MIN: usize = 4;
/// Time for a guest to power off before its VM goes back, in ms.
const STOP_DEADLINE_MS: u64 = 10_000;

/// The checkpoints of a VM, the oldest first.
///
/// # Errors
/// `not_found`.
pub fn checkpoints(control: &Control, reference: &str) -> Result<Vec<Checkpoint>, ApiError> {
    let vm = find_vm(control, reference)?;
    let records = control.read(|db| checkpoint::of_vm(db, vm.id))?;
    let view = |record| view(control, &vm, record);
    Ok(records.into_iter().map(view).collect())
}

fn view(control: &Control, vm: &VmRecord, record: CheckpointRecord) -> Checkpoint {
    let layer = record.layers.last().map(|id| control.places().layer(*id));
    let allocated = |path: &std::path::Path| control.environment().allocated_bytes(path);
    Checkpoint {
        id: record.id,
        name: record.name,
        parent: record.parent,
        current: vm.disks.checkpoint == Some(record.id),
        created_at: timestamp(record.created_ms),
        disk_bytes: record.disk_bytes,
        allocated_bytes: layer.map_or(0, |layer| {
            allocated(&layer.system()) + allocated(&layer.work())
        }),
        damage: record.damage,
    }
}

/// Keeps the disks of a VM, whether it runs or not.
///
/// # Errors
/// `not_found`, `wrong_state`, `name_taken`.
pub fn create_checkpoint(
    control: &Control,
    reference: &str,
    request: CreateCheckpoint,
) -> Result<Accepted, ApiError> {
    let vm = find_vm(control, reference)?;
    if let Some(name) = &request.name {
        check_free(control, &vm, name)?;
    }
    let verb = Verb {
        leads_to: None,
        ..Verb::new(
            OperationKind::CreateCheckpoint,
            // In the same states.
            Request::Restart,
            VmState::Stopped,
        )
    };
    on_vm(control, &vm.id.to_string(), verb, move |turn| {
        turn.checkpoint(request.name).map(drop)
    })
}

/// Lets a VM go back to a checkpoint. One that runs is stopped, and started again with the disks that it had then.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn restore_checkpoint(
    control: &Control,
    reference: &str,
    checkpoint: &str,
    request: &RestoreCheckpoint,
) -> Result<Accepted, ApiError> {
    let vm = find_vm(control, reference)?;
    let id = find(control, vm.id, checkpoint)?.id;
    let discard = request.discard_current;
    let verb = Verb {
        leads_to: None,
        ..Verb::new(
            OperationKind::RestoreCheckpoint,
            Request::Restart,
            VmState::Stopped,
        )
    };
    on_vm(control, &vm.id.to_string(), verb, move |turn| {
        // It may have been deleted while this waited for its turn.
        let wanted = usable(turn.checkpoint_of(id)?)?;
        let runs = turn.record.state == VmState::Running;
        if !discard {
            // Before anything is stopped for it.
            turn.check_depth()?;
        }
        if turn.is_wanted(Request::Stop)? {
            turn.stop(STOP_DEADLINE_MS)?;
        }
        let mut turn = turn.again()?;
        if !discard {
            turn.checkpoint(None)?;
            turn = turn.again()?;
        }
        turn.go_back(&wanted)?;
        match runs {
            true => turn.again()?.start(),
            false => Ok(()),
        }
    })
}

/// Forgets a checkpoint: what only it had is removed.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn delete_checkpoint(
    control: &Control,
    reference: &str,
    checkpoint: &str,
) -> Result<Accepted, ApiError> {
    let vm = find_vm(control, reference)?;
    let id = find(control, vm.id, checkpoint)?.id;
    let verb = Verb {
        leads_to: None,
        ..Verb::new(
            OperationKind::DeleteCheckpoint,
            Request::Set,
            VmState::Stopped,
        )
    };
    on_vm(control, &vm.id.to_string(), verb, move |turn| {
        let record = turn.checkpoint_of(id)?;
        turn.run(plans::delete_checkpoint(turn.op.id, &record))?;
        layers::forget_unused(turn.control, turn.op);
        Ok(())
    })
}

impl Turn<'_> {
    /// Keeps the disks of the VM. Without a name the checkpoint gets the next that is free.
    pub(super) fn checkpoint(
        &self,
        name: Option<CheckpointName>,
    ) -> Result<CheckpointId, ApiError> {
        let (control, vm) = (self.control, &self.record);
        let name = match name {
            Some(name) => {
                check_free(control, vm, &name)?;
                name
            }
            None => free_name(control, vm)?,
        };
        self.check_depth()?;
        let mut layers = vm.disks.layers.clone();
        let id = CheckpointId::new();
        let layer = control.places().layer(LayerId(id.0));
        layers.push(layer.id);
        let record = CheckpointRecord {
            id,
            vm: vm.id,
            name,
            parent: vm.disks.checkpoint,
            layers,
            disk_bytes: vm.disk_bytes,
            overlay_bytes: vm.overlay_bytes,
            created_ms: control.now_ms(),
            damage: None,
        };
        match vm.state {
            VmState::Running => self.checkpoint_running(record, &layer)?,
            _ => {
                self.check_at_rest()?;
                let plan = plans::checkpoint(self.op.id, vm, &self.files(), &layer, record);
                self.run(plan)?;
                self.tidy()?;
            }
        }
        Ok(id)
    }

    /// Refuses one more layer below the disks of the VM, when they lie over the most that there may be.
    fn check_depth(&self) -> Result<(), ApiError> {
        let vm = &self.record;
        if vm.disks.layers.len() < LAYERS_MAX {
            return Ok(());
        }
        let message = format!(
            "the disks of VM \"{}\" lie over {LAYERS_MAX} checkpoints, which is the most",
            vm.name
        );
        let hint = "going back to an earlier one with --discard-current makes room, and banger vm save makes an image of the VM";
        Err(ApiError::new(ErrorCode::WrongState, message).hint(hint))
    }

    /// Keeps the disks of the VM, whose guest goes on writing over them from one moment on.
    fn checkpoint_running(
        &self,
        record: CheckpointRecord,
        layer: &LayerFiles,
    ) -> Result<(), ApiError> {
        let (op, vm, files) = (self.op.id, &self.record, self.files());
        let (vmm, id) = (self.vmm()?, record.id);
        self.run(plans::make_layer(op, vm, &files, layer))?;
        let serials = [SYSTEM, WORK];
        let plan = plans::switch(op, vm, vmm, &files, layer, record, serials);
        self.run(plan)?;
        self.tidy()?;
        if self.again()?.record.disks.checkpoint == Some(id) {
            return Ok(());
        }
        layers::forget_unused(self.control, self.op);
        let name = &vm.name;
        let message = format!("the VMM of VM \"{name}\" did not switch its disks");
        Err(ApiError::new(ErrorCode::VmmFailed, message)
            .hint("it goes on as before; stop it first, and its disks can be kept"))
    }

    /// Lets the disks of the VM, which does not run, be those of a checkpoint.
    fn go_back(&self, to: &CheckpointRecord) -> Result<(), ApiError> {
        self.check_at_rest()?;
        let (op, vm, files) = (self.op.id, &self.record, self.files());
        let Some(layer) = to.layers.last() else {
            return Err(kept_nothing(to));
        };
        let layer = self.control.places().layer(*layer);
        self.run(plans::make_tops(op, vm, &files, to))?;
        self.run(plans::restore(op, vm, &files, to, &layer))?;
        layers::forget_unused(self.control, self.op);
        Ok(())
    }

    /// Refuses what a VMM that nobody could end may still write to.
    fn check_at_rest(&self) -> Result<(), ApiError> {
        self.control.runner().check_readable(self.record.id)?;
        if !self.record.vmm.is_some() {
            return Ok(());
        }
        let name = &self.record.name;
        let message = format!("a VMM of VM \"{name}\" could not be ended and may use its disks");
        let hint = format!("end it first: banger vm kill {name}");
        Err(ApiError::new(ErrorCode::WrongState, message).hint(hint))
    }

    /// Removes what a switch of the VM's disks has left.
    fn tidy(&self) -> Result<(), ApiError> {
        let turn = self.again()?;
        turn.run(plans::tidy(turn.op.id, turn.record.id, &turn.files()))
    }

    pub(super) fn checkpoint_of(&self, id: CheckpointId) -> Result<CheckpointRecord, ApiError> {
        let found = self.control.read(|db| checkpoint::by_id(db, id))?;
        found.ok_or_else(|| {
            let message = "the checkpoint was deleted in the meantime";
            ApiError::new(ErrorCode::NotFound, message)
        })
    }
}

/// Itself, unless its row is damaged.
pub(super) fn usable(record: CheckpointRecord) -> Result<CheckpointRecord, ApiError> {
    let Some(why) = &record.damage else {
        return Ok(record);
    };
    let message = format!(
        "the record of checkpoint \"{}\" in the store is damaged: {why}",
        record.name
    );
    Err(ApiError::new(ErrorCode::WrongState, message)
        .hint("its files are untouched; a store from before the damage brings it back"))
}

/// The refusal of a checkpoint without a layer, which none has that this daemon made.
pub(super) fn kept_nothing(checkpoint: &CheckpointRecord) -> ApiError {
    let message = format!("checkpoint \"{}\" has kept nothing", checkpoint.name);
    ApiError::new(ErrorCode::Internal, message)
}

fn check_free(control: &Control, vm: &VmRecord, name: &CheckpointName) -> Result<(), ApiError> {
    let taken = control.read(|db| checkpoint::of_vm(db, vm.id))?;
    if !taken.iter().any(|known| known.name == *name) {
        return Ok(());
    }
    let message = format!("VM \"{}\" has a checkpoint \"{name}\" already", vm.name);
    let hint = format!("banger vm checkpoint list {} shows them all", vm.name);
    Err(ApiError::new(ErrorCode::NameTaken, message).hint(hint))
}

/// The first of `c1`, `c2`, … that no checkpoint of the VM has.
fn free_name(control: &Control, vm: &VmRecord) -> Result<CheckpointName, ApiError> {
    let taken = control.read(|db| checkpoint::of_vm(db, vm.id))?;
    let is_free = |name: &String| !taken.iter().any(|known| known.name.as_str() == name);
    let name = (1..=taken.len() + 1)
        .map(|number| format!("c{number}"))
        .find(is_free)
        .unwrap_or_default();
    name.parse().map_err(|error: banger_api::InvalidName| {
        ApiError::new(ErrorCode::Internal, error.to_string())
    })
}

/// The checkpoint of a VM that `reference` names: by its name, its id, or a unique prefix of that.
pub(super) fn find(
    control: &Control,
    vm: VmId,
    reference: &str,
) -> Result<CheckpointRecord, ApiError> {
    let mut all = control.read(|db| checkpoint::of_vm(db, vm))?;
    let wanted = reference.to_ascii_lowercase();
    let by_name = all.iter().position(|one| one.name.as_str() == reference);
    let by_id = || {
        let is_it = |one: &CheckpointRecord| one.id.to_string().starts_with(&wanted);
        let mut found = all.iter().enumerate().filter(|(_, one)| is_it(one));
        match (wanted.len() >= PREFIX_MIN, found.next(), found.next()) {
            (true, Some((at, _)), None) => Some(at),
            _ => None,
        }
    };
    if let Some(at) = by_name.or_else(by_id) {
        return Ok(all.swap_remove(at));
    }
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    let hint = suggest::hint(
        reference,
        &names,
        "it has none yet: banger vm checkpoint create",
    );
    let message = format!("no checkpoint of the VM is called \"{reference}\"");
    Err(ApiError::new(ErrorCode::NotFound, message).hint(hint))
}
