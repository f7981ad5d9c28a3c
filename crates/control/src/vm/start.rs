//! Booting VMs.

use banger_api::ApiError;
use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, StopVm, VmState};
use banger_ops::plans;
use banger_ops::policy::{self, Request};
use banger_store::vm;

use super::on_vm::{Turn, Verb, on_vm};
use super::rules::give_policy;
use super::stop::stop_deadline;
use super::{addresses, launch};
use crate::Control;

/// Starts an existing VM.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn start(control: &Control, reference: &str) -> Result<Accepted, ApiError> {
    let verb = Verb::new(OperationKind::StartVm, Request::Start, VmState::Running);
    on_vm(control, reference, verb, |turn| turn.boot())
}

/// Stops a VM in order and boots it again.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`.
pub fn restart(control: &Control, reference: &str, request: &StopVm) -> Result<Accepted, ApiError> {
    let deadline_ms = stop_deadline(request)?;
    let verb = Verb::new(OperationKind::RestartVm, Request::Restart, VmState::Running);
    on_vm(control, reference, verb, move |turn| {
        if turn.is_wanted(Request::Stop)? {
            turn.stop(deadline_ms)?;
        }
        turn.again()?.boot()
    })
}

/// Starts the VMs that are to run always and were lost, with their host or by a crash.
///
/// # Errors
/// Only the store's.
pub fn start_again(control: &Control) -> Result<(), ApiError> {
    let lost = control
        .read(vm::list)?
        .into_iter()
        .filter(policy::starts_again);
    for record in lost {
        if let Err(error) = start(control, &record.id.to_string()) {
            tracing::error!(vm = %record.name, %error, "cannot start a VM again");
        }
    }
    Ok(())
}

impl Turn<'_> {
    /// Boots the VM, which does not run. The plan first ends a VMM that an earlier stop could not end.
    pub(super) fn boot(&self) -> Result<(), ApiError> {
        let files = self.files();
        let record = addresses::prepared(self.control, &self.record)?;
        let start = launch::start_vm(self.control, &record, &files)?;
        self.run(plans::start(self.op.id, &record, &files, &start))?;
        let id = record.id;
        if let Some(runs) = self.control.read(|db| vm::by_id(db, id))? {
            self.control.environment().vm_runs(self.control, &runs);
            self.control.environment().net_runs(self.control, &runs);
            // They may have been changed while it started.
            give_policy(self.control, id)?;
        }
        Ok(())
    }
}
