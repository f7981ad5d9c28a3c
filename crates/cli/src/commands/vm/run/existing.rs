//! `run --name` of a VM that exists: it goes in.
//!
//! ```text
//! it differs from what is asked ──► refused, nothing happens
//! else start it if it does not run ──► PATH: as a second `workspace prepare` ──► the shell or command
//! ```

use std::time::{Duration, Instant};

use banger_api::vm::{Exec, NetMode, Vm, VmState};
use banger_api::{ApiError, ErrorCode};

use super::Going;
use crate::commands::vm::change::find;
use crate::commands::vm::exec::enter;
use crate::commands::vm::image::Wanted;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::timings::Timings;
use crate::view::vm::Changed;
use crate::workspace::{Choice, Outgoing, RepositoryRequests, apply, surround};

/// Refuses `--rm`: it would delete a VM that was there before.
pub(super) fn refuse_rm(vm: &Vm) -> Failure {
    let name = &vm.name;
    let message = format!("VM \"{name}\" exists, and --rm would delete it");
    ApiError::new(ErrorCode::NameTaken, message)
        .hint(format!(
            "without --rm banger run --name {name} goes into it; without --name, --rm makes a VM for this command"
        ))
        .into()
}

/// Goes into the VM.
///
/// # Errors
/// It does not start, its guest has work that the repository would write over, or the command cannot be run.
pub(super) async fn go_in(
    vm: Vm,
    outgoing: Option<(Outgoing, RepositoryRequests)>,
    mut exec: Exec,
    going: Going,
    timings: &Timings,
    context: &Context,
) -> Outcome {
    let name = &vm.name;
    if vm.state == VmState::Running {
        context
            .output
            .note(&format!("VM {name} exists: going into it"));
    } else {
        let line = format!("VM {name} exists and is {}: starting it", vm.state);
        context.output.note(&line);
        started(&vm, timings, context).await?;
    }
    let reference = vm.id.to_string();
    match outgoing {
        Some((outgoing, requests)) => {
            let asked = (outgoing, requests, going.told);
            prepared(&vm, asked, &mut exec, timings, context).await?;
        }
        None if going.detach => {}
        None => surround(&reference, &Choice::default(), &mut exec, context).await?,
    }
    if going.detach {
        return context
            .output
            .print(&Changed(find(&reference, context).await?));
    }
    let entered = Instant::now();
    let result = enter(&reference, exec, context).await;
    timings.since("exec", entered);
    if going.is_shell || result.is_err() {
        super::say_how_to_come_back(name, context);
    }
    result
}

async fn started(vm: &Vm, timings: &Timings, context: &Context) -> Result<(), Failure> {
    let reference = &vm.id.to_string();
    let accepted = start(
        context,
        |client| async move { client.start_vm(reference).await },
    );
    let operation = accepted.await?.operation;
    let progress = Progress::new(&context.output);
    let followed = follow(context, &progress, operation, None, How::default()).await?;
    for stage in &followed.stages {
        timings.add(&stage.stage, Duration::from_micros(stage.us));
    }
    match followed.interrupted {
        Some(by) => Err(Failure::interrupted_by(by, "interrupted")),
        None => Ok(()),
    }
}

/// Sends what is not there yet, by the rules of a second `workspace prepare`, and lets the command start there.
async fn prepared(
    vm: &Vm,
    (mut outgoing, requests, told): (Outgoing, RepositoryRequests, bool),
    exec: &mut Exec,
    timings: &Timings,
    context: &Context,
) -> Result<(), Failure> {
    if let Ok(Some((file, image))) = requests.image()
        && !image
            .parse()
            .is_ok_and(|image: Wanted| *image.name() == vm.image)
    {
        context.output.warn(&format!(
            "{file} asks for image {image}: VM {} is made of {} and stays so",
            vm.name, vm.image
        ));
    }
    let reaches_out = !told && requests.reaches_out(vm.net, vm.egress, context);
    match vm.net {
        NetMode::None => requests.no_ports(context),
        NetMode::User => requests.warn_of_ports(vm, context),
    }
    let reference = vm.id.to_string();
    let mut interrupts = context.interrupts()?;
    let preparing = async {
        let sending = Instant::now();
        let sent = outgoing.update(&reference, false, context).await;
        timings.since("send repository", sending);
        let setting_up = Instant::now();
        let done = requests.set_up(vm, &sent?, reaches_out, context).await;
        timings.since("set up workspace", setting_up);
        done
    };
    let (head, _) = tokio::select! {
        done = preparing => done,
        by = interrupts.next() => Err(Failure::interrupted_by(by,
            "interrupted; the same command again sends what is missing",
        )),
    }?;
    apply(head, exec);
    Ok(())
}
