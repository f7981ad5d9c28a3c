//! VMs that stand still: with their VMM (pause), or as a file on the disk (suspend).

use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, VmState};
use banger_api::{ApiError, ErrorCode};
use banger_engine::Memory;
use banger_ops::plans;
use banger_ops::policy::Request;

use super::launch;
use super::on_vm::{Turn, Verb, on_vm};
use crate::Control;

/// Time for a guest that goes on to answer, in ms. Its memory is read from the disk before.
const GREET_DEADLINE_MS: u64 = 60_000;

/// Saves a VM's memory on the disk and ends its VMM; a start lets it go on where it stood.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn suspend(control: &Control, reference: &str) -> Result<Accepted, ApiError> {
    let verb = Verb::new(
        OperationKind::SuspendVm,
        Request::Suspend,
        VmState::Suspended,
    );
    on_vm(control, reference, verb, |turn| turn.suspend())
}

/// Lets a guest stand still.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn pause(control: &Control, reference: &str) -> Result<Accepted, ApiError> {
    let verb = Verb {
        leads_to: None,
        ..Verb::new(OperationKind::PauseVm, Request::Pause, VmState::Running)
    };
    on_vm(control, reference, verb, |turn| {
        let vmm = turn.vmm()?;
        turn.control.runner().host().pause_vmm(&vmm)
    })
}

/// Lets a guest that stands still go on.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub fn resume(control: &Control, reference: &str) -> Result<Accepted, ApiError> {
    let verb = Verb {
        leads_to: None,
        ..Verb::new(OperationKind::ResumeVm, Request::Pause, VmState::Running)
    };
    on_vm(control, reference, verb, |turn| {
        let vmm = turn.vmm()?;
        turn.control.runner().host().resume_vmm(&vmm)
    })
}

impl Turn<'_> {
    pub(super) fn vmm(&self) -> Result<banger_engine::VmmIdentity, ApiError> {
        plans::identity(&self.record).ok_or_else(|| {
            let message = format!("the VMM of VM \"{}\" is not known", self.record.name);
            ApiError::new(ErrorCode::WrongState, message)
        })
    }

    fn suspend(&self) -> Result<(), ApiError> {
        let (vmm, files) = (self.vmm()?, self.files());
        self.run(plans::suspend(self.op.id, &self.record, vmm, &files))?;
        let suspended = self.again()?;
        let plan = plans::end_suspended(self.op.id, &suspended.record, &files);
        suspended.run_to_the_end(plan)
    }

    /// Lets a suspended VM go on where it stood. `false`: its memory is gone, and it is to be booted.
    pub(super) fn go_on(&self) -> Result<bool, ApiError> {
        let (files, host) = (self.files(), self.control.runner().host());
        let state = files.suspended();
        if !host.exists(&state)? {
            banger_ops::Events::warn(
                &**self.op,
                "its memory is gone: it went on before, and that was cut off; it is booted from its disks",
            );
            return Ok(false);
        }
        let mut start = launch::start_vm(self.control, &self.record, &files)?;
        start.spec.memory = Memory::Suspended {
            state: state.clone(),
        };
        start.forget_memory = false;
        start.boot_deadline_ms = GREET_DEADLINE_MS;
        let Err(error) = self.run(plans::start(self.op.id, &self.record, &files, &start)) else {
            return Ok(true);
        };
        if error.code == ErrorCode::Cancelled || host.exists(&state)? {
            let name = &self.record.name;
            return Err(error.hint(format!(
                "it is suspended still; banger vm kill {name} lets it forget its memory, and it boots from its disks then"
            )));
        }
        let message = &error.message;
        banger_ops::Events::warn(
            &**self.op,
            &format!("it did not go on, and is booted from its disks: {message}"),
        );
        Ok(false)
    }
}
