//! A new VM in the place of one that has its name.
//!
//! ```text
//! new one made, under a name of its own ─► one transaction: it gets the name, ─► the old one goes ─► the new one starts
//!                                          the deletion of the old one begins
//!   until here the old one is as it was, and a crash takes the new one away        from here a crash leaves the new one
//! ```

use std::sync::Arc;

use banger_api::{ApiError, VmId, VmName};
use banger_ops::policy::{self, Request};
use banger_ops::{Change, Events as _, store_error};
use banger_store::{VmRecord, vm};

use super::create::name_taken;
use super::names;
use super::on_vm::{Turn, gone};
use crate::Control;
use crate::locks::Key;
use crate::operations::Running;

/// The VM that a new one of this name replaces; `None` when the name is free.
///
/// # Errors
/// `wrong_state` for one whose record is damaged: it cannot give its name away.
pub(super) fn replaced(control: &Control, name: &VmName) -> Result<Option<VmRecord>, ApiError> {
    let Some(old) = control.read(|db| vm::by_name(db, name.as_str()))? else {
        return Ok(None);
    };
    policy::check_damage(Request::Set, &old)?;
    Ok(Some(old))
}

/// Gives the VM `new`, which this operation has made, the name that it was made for, and deletes `old`.
///
/// # Errors
/// The name is another VM's by now, or the change cannot be written: then `new` is gone, and `old` as it was.
pub(super) fn take_over(
    control: &Control,
    op: &Arc<Running>,
    new: VmId,
    name: &VmName,
    old: VmId,
) -> Result<(), ApiError> {
    let Err(error) = give_name(control, op, new, name, old) else {
        return Ok(());
    };
    let turn = Turn::at(control, op, new)?.ok_or_else(gone)?;
    if turn.record.name != *name {
        turn.delete()?;
        return Err(error);
    }
    // The new one has the name: that the old one resists does not take it away again.
    if let Some(left) = control.read(|db| vm::by_id(db, old))? {
        let left = left.name;
        op.warn(&format!(
            "VM \"{left}\", which was \"{name}\", cannot be deleted: {}; banger rm --force {left} tries again",
            error.message
        ));
    }
    Ok(())
}

fn give_name(
    control: &Control,
    op: &Arc<Running>,
    new: VmId,
    name: &VmName,
    old: VmId,
) -> Result<(), ApiError> {
    // What was asked for before, about the old one, is done first.
    let _old = control.operations().hold(op, Key::Vm(old))?;
    match control.read(|db| vm::by_name(db, name.as_str()))? {
        Some(record) if record.id == old => {
            let turn = Turn::at(control, op, old)?.ok_or_else(gone)?;
            turn.give_way(new, names::beside(name, "old")?)
        }
        Some(_) => Err(name_taken(name)),
        None => {
            let change = Change::SetName {
                vm: new,
                name: name.clone(),
            };
            let renamed = control.store().write(move |tx| change.apply(tx));
            renamed.map_err(store_error)?;
            control.environment().vms_changed(control);
            Ok(())
        }
    }
}
