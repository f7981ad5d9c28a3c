//! Causes of a lost guest: the daemon knows more of a VM than a stream that ended tells.

use std::time::Duration;

use banger_api::vm::Vm;
use banger_api::{ApiError, Condition, ErrorCode};

use crate::context::Context;
use crate::failure::Failure;

/// Time for the daemon to tell. It asks no guest.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// The same result; a failure of the guest names what is wrong with its VM, and the next step.
///
/// # Errors
/// The result's own.
pub async fn explain<T>(
    result: Result<T, Failure>,
    reference: &str,
    context: &Context,
) -> Result<T, Failure> {
    let Err(mut failure) = result else {
        return result;
    };
    let Failure::Errors { errors, .. } = &mut failure else {
        return Err(failure);
    };
    if let Some(error) = errors.first_mut()
        && is_of_guest(error.code)
        && let Some((vm, condition)) = condition(reference, context).await
    {
        tell(error, &vm, &condition);
    }
    Err(failure)
}

/// Fault of a VM whose connection has ended: `ssh` has no other word for it.
///
/// # Errors
/// Something is wrong with it.
pub async fn refuse(reference: &str, context: &Context) -> Result<(), Failure> {
    match condition(reference, context).await {
        None => Ok(()),
        Some((vm, condition)) => {
            let message = format!("VM \"{}\": {condition}", vm.name);
            let error = ApiError::new(ErrorCode::GuestUnreachable, message);
            Err(error.hint(condition.hint(vm.name.as_str())).into())
        }
    }
}

fn is_of_guest(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::GuestFailed | ErrorCode::GuestUnreachable)
}

/// The condition that explains the others. No daemon is started for it.
async fn condition(reference: &str, context: &Context) -> Option<(Vm, Condition)> {
    let client = context.session.client();
    let asked = tokio::time::timeout(TOLD_WITHIN, client.vm(reference)).await;
    let vm = asked.ok()?.ok()?;
    let condition = vm.conditions.first()?.clone();
    Some((vm, condition))
}

fn tell(error: &mut ApiError, vm: &Vm, condition: &Condition) {
    let hint = Some(condition.hint(vm.name.as_str()));
    // The daemon has said it already.
    if error.hint == hint {
        return;
    }
    error.code = ErrorCode::GuestUnreachable;
    error.message = format!("{}: {condition}", error.message);
    error.hint = hint;
}
