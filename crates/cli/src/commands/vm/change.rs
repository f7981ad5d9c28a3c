//! Common part of start, stop, restart, kill and delete: several VMs, one operation each.

use std::future::Future;

use banger_api::vm::{Accepted, Vm};
use banger_api::{ErrorCode, VmId, VmName};
use banger_client::{Client, ClientError};

use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::references::{self, Results};
use crate::view::shown::Shown;
use crate::view::vm::Changed;

/// One VM.
///
/// # Errors
/// There is none of this name or id.
pub async fn find(reference: &str, context: &Context) -> Result<Vm, Failure> {
    context
        .session
        .read(|client| async move { client.vm(reference).await })
        .await
}

/// The VM of this very name. A name that is the start of another VM's id means a new VM.
///
/// # Errors
/// There is no daemon, or it cannot tell.
pub async fn of_name(name: &VmName, context: &Context) -> Result<Option<Vm>, Failure> {
    match find(name.as_str(), context).await {
        Ok(vm) => Ok(Some(vm).filter(|vm| vm.name == *name)),
        Err(failure) if failure.is(ErrorCode::NotFound) || failure.is(ErrorCode::Ambiguous) => {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Starts an operation on each VM that is chosen, and follows all of them to their ends.
///
/// # Errors
/// A reference names no VM: then nothing was started.
pub async fn each<F>(
    chosen: &Chosen,
    how: How,
    context: &Context,
    call: impl Fn(Client, VmId) -> F,
) -> Result<Results<Vm>, Failure>
where
    F: Future<Output = Result<Accepted, ClientError>>,
{
    let vms = chosen.find(context).await?;
    let several = vms.len() > 1;
    let progress = &Progress::new(&context.output);
    let call = &call;
    let results = references::act(vms, |vm| async move {
        let accepted = start(context, |client| call(client, vm.id)).await?;
        let label = several.then_some(vm.name.as_str());
        follow(context, progress, accepted.operation, label, how).await?;
        Ok(vm)
    });
    Ok(results.await)
}

/// As [`each`], and prints the VMs as they then are.
///
/// # Errors
/// As [`each`], and every operation that failed.
pub async fn each_and_print<F>(
    chosen: &Chosen,
    context: &Context,
    call: impl Fn(Client, VmId) -> F,
) -> Outcome
where
    F: Future<Output = Result<Accepted, ClientError>>,
{
    let results = each(chosen, How::default(), context, call).await?;
    let mut now = Vec::new();
    for vm in results.done {
        // A VM that somebody deleted since is shown as it was.
        let latest = find(&vm.id.to_string(), context).await;
        now.push(Changed(latest.unwrap_or(vm)));
    }
    let results = Results {
        done: now,
        failure: results.failure,
    };
    results.print(context, Shown)
}
