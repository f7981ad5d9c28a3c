//! Clean-up after VMMs that end by themselves.
//!
//! ```text
//! VMM's end is seen ─► turn at the VM's lock ─► still the same VMM? ─► plan: sockets and claims gone, state, cause kept
//!                                       its guest rebooted: plan "start" ◄┘
//! ```

use banger_api::operation::OperationKind;
use banger_api::vm::VmState;
use banger_api::{ApiError, ExitCause, VmId};
use banger_engine::VmmIdentity;
use banger_ops::plans;
use banger_ops::policy::{self, AfterExit};
use banger_store::{VmRecord, vm};

use super::on_vm::Turn;
use crate::Control;
use crate::locks::Key;
use crate::operations::Asked;

/// Lines of the console that a VM's error shows.
const CONSOLE_LINES: usize = 8;

/// Cleans up after a VM's VMM that has ended by itself, and boots a VM whose guest rebooted. Does nothing when a request
/// ended the VMM, or when it still lives.
///
/// # Errors
/// Only the store's.
pub fn vmm_ended(control: &Control, id: VmId, vmm: VmmIdentity) -> Result<(), ApiError> {
    // A stop or delete that ended it has changed the state already: no operation.
    let found = control.read(|db| vm::by_id(db, id))?;
    let Some(record) = found.filter(|record| runs(record, &vmm)) else {
        return Ok(());
    };
    let host = control.runner().host();
    let Some(cause) = host.vmm_exit(&vmm)? else {
        return Ok(());
    };
    let asked = Asked {
        kind: OperationKind::VmmEnded,
        vm: Some((id, record.name.to_string())),
        leads_to: Some(match policy::after_exit(&record, &cause, host.now_ms()) {
            AfterExit::Boot => VmState::Running,
            // For requests all of them mean that it does not run.
            AfterExit::Stopped | AfterExit::Error | AfterExit::RebootsTooOften => VmState::Stopped,
        }),
        keys: vec![Key::Vm(id)],
    };
    let task = control.clone();
    control.operations().spawn(asked, move |op, _locked| {
        let turn = Turn::at(&task, op, id)?;
        let Some(turn) = turn.filter(|turn| runs(&turn.record, &vmm)) else {
            return Ok(());
        };
        let mut plan = plans::end_after_exit(
            &turn.record,
            &turn.files(),
            &cause,
            with_console(&task, &vmm, &cause).as_deref(),
            task.runner().host().now_ms(),
        );
        plan.operation = op.id;
        turn.run_to_the_end(plan)?;
        let turn = turn.again()?;
        match turn.record.reboots.due {
            true => turn.start(),
            false => Ok(()),
        }
    })?;
    Ok(())
}

/// Tells whether a VM runs in this very VMM.
fn runs(record: &VmRecord, vmm: &VmmIdentity) -> bool {
    record.state == VmState::Running && plans::identity(record).as_ref() == Some(vmm)
}

/// The last console lines, when they tell more than the cause.
fn with_console(control: &Control, vmm: &VmmIdentity, cause: &ExitCause) -> Option<String> {
    if !cause.is_on_the_console() {
        return None;
    }
    let tail = control
        .environment()
        .console_tail(&vmm.console_log, CONSOLE_LINES);
    Some(format!("last console lines:\n{tail}"))
}
