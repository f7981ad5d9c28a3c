//! `banger vm create`

use std::time::Instant;

use banger_api::vm::{Accepted, CreateVm, Vm};
use banger_api::{ApiError, ErrorCode};

use super::change::find;
use super::replacing::Replacing;
use super::spec::Spec;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::first_run::FirstRun;
use crate::follow::{Followed, How, follow, start};
use crate::progress::Progress;
use crate::timings::Timings;
use crate::view::vm::Changed;

/// The line for a new VM whose guest reaches this host's own services.
const REACHES_HOST: &str = "network: the guest reaches this host's own services (its loopback, local networks and cloud metadata); \
                            --allow none closes it";

/// Arguments of `banger vm create`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm create --name web --publish 8080:80
  banger vm create --name web --replace --yes   anew, whatever it was
  banger vm create --name later --vcpu 4 --memory 8G --no-start")]
pub struct Args {
    #[command(flatten)]
    spec: Spec,
    #[command(flatten)]
    replacing: Replacing,
    /// Only create it
    #[arg(long, help_heading = None)]
    no_start: bool,
    /// Tell on standard error how long each stage took
    #[arg(long, help_heading = None)]
    timings: bool,
}

/// Creates the VM and prints its name.
///
/// # Errors
/// It cannot be created or started.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let timings = Timings::default();
    let replace = args.replacing.agreed(args.spec.name(), context).await?;
    args.spec.pull(context).await?;
    let create = CreateVm {
        replace,
        ..args.spec.into_request(!args.no_start, false)?
    };
    let made = make(&create, context, &timings).await;
    if args.timings {
        timings.show(&context.output);
    }
    let (vm, _) = made?;
    let vm = find(&vm.id.to_string(), context).await?;
    context.output.print(&Changed(vm))
}

/// Creates a VM, starts it when asked to, and waits until that is done.
///
/// # Errors
/// It cannot be created or started.
pub(super) async fn make(
    create: &CreateVm,
    context: &Context,
    timings: &Timings,
) -> Result<(Vm, Followed), Failure> {
    let asked = Instant::now();
    let Accepted { operation, vm, .. } =
        start(
            context,
            |client| async move { client.create_vm(create).await },
        )
        .await?;
    let starting = context.session.time_of_starting();
    if !starting.is_zero() {
        timings.add("daemon start", starting);
    }
    timings.add("request", asked.elapsed().saturating_sub(starting));
    let vm = vm.ok_or_else(|| {
        ApiError::new(
            ErrorCode::Internal,
            "the daemon did not say which VM it makes",
        )
        .of_operation(operation)
    })?;
    if vm.reaches_host {
        context.output.note(REACHES_HOST);
    }
    let paths = &context.session.endpoint().paths;
    let first_run = FirstRun::of(paths, create.image.as_ref());
    let progress = Progress::new(&context.output).of(first_run);
    let followed = follow(
        context,
        &progress,
        operation,
        None,
        How::cancelled_with_us(),
    )
    .await?;
    for stage in &followed.stages {
        timings.add(&stage.stage, std::time::Duration::from_micros(stage.us));
    }
    Ok((vm, followed))
}
