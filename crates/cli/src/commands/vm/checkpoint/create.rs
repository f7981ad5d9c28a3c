//! `banger vm checkpoint create`

use banger_api::CheckpointName;
use banger_api::checkpoint::{Checkpoint, CreateCheckpoint};

use super::of_vm;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::view::checkpoint::Made;

/// Arguments of `banger vm checkpoint create`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Both of its disks are kept as they are, at once and whatever their size: what the VM writes later is \
written beside them. A VM that runs is asked to write its disks first, and goes on. Memory is not kept.

Examples:
  banger vm checkpoint create web
  banger vm checkpoint create web before-upgrade")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The checkpoint's name; the next of c1, c2, … when left out
    name: Option<CheckpointName>,
}

/// Makes the checkpoint and prints its name.
///
/// # Errors
/// There is no such VM, it is suspended, or the name is taken.
pub async fn run(args: Args, context: &Context) -> Outcome {
    match make(&args.vm, args.name, context).await? {
        Some(made) => context.output.print(&Made(made)),
        // Somebody deleted it since.
        None => Ok(0),
    }
}

/// Makes a checkpoint of a VM.
///
/// # Errors
/// There is no such VM, it is suspended, or the name is taken.
pub async fn make(
    vm: &str,
    name: Option<CheckpointName>,
    context: &Context,
) -> Result<Option<Checkpoint>, Failure> {
    let create = &CreateCheckpoint { name };
    let accepted = start(context, |client| async move {
        client.create_checkpoint(vm, create).await
    })
    .await?;
    let progress = Progress::new(&context.output);
    follow(context, &progress, accepted.operation, None, How::default()).await?;
    let all = of_vm(vm, context).await?;
    // Without a name it is the one that the VM goes on from.
    let is_it = |one: &Checkpoint| match &create.name {
        Some(name) => one.name == *name,
        None => one.current,
    };
    Ok(all.into_iter().find(is_it))
}
