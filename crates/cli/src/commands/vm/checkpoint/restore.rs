//! `banger vm checkpoint restore`

use banger_api::checkpoint::RestoreCheckpoint;

use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::view::shown::Shown;
use crate::view::vm::Changed;

/// Arguments of `banger vm checkpoint restore`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Its disks are then what they were at the checkpoint. What they are now is made a checkpoint first, so that \
nothing is lost. A VM that runs is stopped and started again. Its settings stay, and so does the size of a \
work disk that has grown.

Examples:
  banger vm checkpoint restore web before-upgrade
  banger vm checkpoint restore web c1 --discard-current")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The checkpoint: its name, its id or the start of its id
    checkpoint: String,
    /// Lose what is on the disks now
    #[arg(long)]
    discard_current: bool,
}

/// Restores the checkpoint and prints the VM's name.
///
/// # Errors
/// There is no such VM or checkpoint, or the VM is suspended.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (vm, checkpoint) = (&args.vm, &args.checkpoint);
    let restore = &RestoreCheckpoint {
        discard_current: args.discard_current,
    };
    let accepted = start(context, |client| async move {
        client.restore_checkpoint(vm, checkpoint, restore).await
    })
    .await?;
    let progress = Progress::new(&context.output);
    follow(context, &progress, accepted.operation, None, How::default()).await?;
    let now = context
        .session
        .read(|client| async move { client.vm(vm).await })
        .await?;
    context.output.print(&Shown(vec![Changed(now)]))
}
