//! Network processes of VMs that run: another one takes the place of one that ended, and each has the present rules.
//!
//! ```text
//! a process's end is seen ─┐
//! a daemon starts ─────────┴► does its VM still run, and lack one? ─► turn at the VM's lock ─► asked again ─► plan
//! ```

use banger_api::operation::OperationKind;
use banger_api::vm::VmState;
use banger_api::{ApiError, VmId};
use banger_net_control::NetIdentity;
use banger_ops::{NetPlan, plans};
use banger_store::{VmRecord, vm};

use super::launch;
use super::on_vm::Turn;
use super::rules::give_policy;
use crate::Control;
use crate::locks::Key;
use crate::operations::Asked;

/// Starts another network process for a VM whose own has ended by itself. Does nothing when a request ended it, when it
/// still lives, or when the VMM has ended, too.
///
/// # Errors
/// Only the store's, and the host's when it cannot tell.
pub fn net_ended(control: &Control, id: VmId, net: &NetIdentity) -> Result<(), ApiError> {
    let found = control.read(|db| vm::by_id(db, id))?;
    match found {
        Some(record) if record.network.process.as_ref() == Some(net) => ensure_net(control, id),
        _ => Ok(()),
    }
}

/// Starts a network process for a VM that runs and lacks one.
///
/// # Errors
/// As [`net_ended`].
pub fn ensure_net(control: &Control, id: VmId) -> Result<(), ApiError> {
    let Some(record) = control.read(|db| vm::by_id(db, id))? else {
        return Ok(());
    };
    if !lacks_net(control, &record)? {
        return Ok(());
    }
    let asked = Asked {
        kind: OperationKind::ReplaceNet,
        vm: Some((id, record.name.to_string())),
        leads_to: None,
        keys: vec![Key::Vm(id)],
    };
    let task = control.clone();
    control.operations().spawn(asked, move |op, _locked| {
        let Some(turn) = Turn::at(&task, op, id)? else {
            return Ok(());
        };
        let outcome = turn.replace_net();
        if outcome.is_err() {
            task.environment().net_is_missing(&task, id);
        }
        outcome
    })?;
    Ok(())
}

impl Turn<'_> {
    fn replace_net(&self) -> Result<(), ApiError> {
        let Some(vmm) = plans::identity(&self.record) else {
            return Ok(());
        };
        let Some(network) = NetPlan::of(&self.record) else {
            return Ok(());
        };
        if !lacks_net(self.control, &self.record)? {
            return Ok(());
        }
        let user = vmm.jail.as_ref().and_then(|jail| jail.layers.user);
        let launch = launch::net_launch(self.control, &self.record, &self.files(), &network, user);
        self.run(plans::replace_net(self.op.id, &self.record, &vmm, launch))?;
        let fresh = self.again()?;
        give_policy(self.control, fresh.record.id)?;
        self.control
            .environment()
            .net_runs(self.control, &fresh.record);
        Ok(())
    }
}

/// Tells whether a VM runs, its VMM too, and its network process does not, or answers no more.
fn lacks_net(control: &Control, record: &VmRecord) -> Result<bool, ApiError> {
    if record.state != VmState::Running || !record.has_net_process() || record.damage.is_some() {
        return Ok(false);
    }
    let host = control.runner().host();
    let Some(vmm) = plans::identity(record) else {
        return Ok(false);
    };
    if host.vmm_exit(&vmm)?.is_some() {
        // Its end is seen by itself, and cleaned up after.
        return Ok(false);
    }
    match &record.network.process {
        Some(net) => Ok(!host.net_answers(net)?),
        None => Ok(true),
    }
}
