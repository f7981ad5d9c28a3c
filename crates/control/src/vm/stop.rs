//! Ending VMs: in order, or with a signal.

use banger_api::operation::OperationKind;
use banger_api::vm::{Accepted, KillVm, StopVm, VmState};
use banger_api::{ApiError, ErrorCode};
use banger_ops::plans;
use banger_ops::policy::Request;

use super::on_vm::{Turn, Verb, on_vm};
use crate::Control;

/// Time for a guest to power off before its VMM is killed, in seconds.
const STOP_TIMEOUT_S: u32 = 10;
/// Longest such time that may be asked for, in seconds.
const STOP_TIMEOUT_MAX_S: u32 = 3_600;

/// Stops a VM in order.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`.
pub fn stop(control: &Control, reference: &str, request: &StopVm) -> Result<Accepted, ApiError> {
    let deadline_ms = stop_deadline(request)?;
    let verb = Verb::new(OperationKind::StopVm, Request::Stop, VmState::Stopped);
    on_vm(control, reference, verb, move |turn| turn.stop(deadline_ms))
}

pub(super) fn stop_deadline(request: &StopVm) -> Result<u64, ApiError> {
    match request.timeout_s.unwrap_or(STOP_TIMEOUT_S) {
        seconds if seconds <= STOP_TIMEOUT_MAX_S => Ok(u64::from(seconds) * 1_000),
        seconds => Err(ApiError::new(
            ErrorCode::InvalidArgument,
            format!("a timeout of {seconds} s is not possible: use 0 to {STOP_TIMEOUT_MAX_S}"),
        )),
    }
}

impl Turn<'_> {
    /// Stops the VM in order.
    pub(super) fn stop(&self, deadline_ms: u64) -> Result<(), ApiError> {
        let plan = plans::stop(self.op.id, &self.record, &self.files(), deadline_ms);
        self.run_to_the_end(plan)
    }
}

/// Ends a VM's VMM with a signal. Operations that boot the VM, or wait to, are cancelled: the kill is meant for them.
///
/// # Errors
/// `not_found`, `wrong_state`, `invalid_argument`.
pub fn kill(control: &Control, reference: &str, request: &KillVm) -> Result<Accepted, ApiError> {
    let signal = signal_number(request.signal.as_deref())?;
    let verb = Verb {
        done_in: &[VmState::Created, VmState::Stopped],
        done_when_gone: true,
        makes_way: true,
        ..Verb::new(OperationKind::KillVm, Request::Kill, VmState::Stopped)
    };
    on_vm(control, reference, verb, move |turn| {
        let files = turn.files();
        let plan = match turn.record.state {
            VmState::Suspended => plans::forget_memory(turn.op.id, &turn.record, &files),
            _ => plans::kill(turn.op.id, &turn.record, &files, signal),
        };
        turn.run_to_the_end(plan)
    })
}

fn signal_number(text: Option<&str>) -> Result<i32, ApiError> {
    let Some(text) = text else { return Ok(9) };
    match text.to_ascii_uppercase().trim_start_matches("SIG") {
        "KILL" | "9" => Ok(9),
        "TERM" | "15" => Ok(15),
        "INT" | "2" => Ok(2),
        "HUP" | "1" => Ok(1),
        _ => Err(ApiError::new(
            ErrorCode::InvalidArgument,
            format!("signal \"{text}\" is not known"),
        )
        .hint("use KILL, TERM, INT or HUP")),
    }
}
