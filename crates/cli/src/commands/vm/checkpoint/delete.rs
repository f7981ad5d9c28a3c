//! `banger vm checkpoint delete`

use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::references;
use crate::view::shown::{Removed, Shown};

/// Arguments of `banger vm checkpoint delete`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Checkpoints go in any order: what the VM or another checkpoint still needs of one stays on the disk as long \
as that does.

Examples:
  banger vm checkpoint delete web before-upgrade
  banger vm checkpoint delete web c1 c2")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// Checkpoints: their names, their ids or the starts of their ids
    #[arg(required = true, value_name = "CHECKPOINT")]
    checkpoints: Vec<String>,
}

/// Deletes checkpoints and prints their names.
///
/// # Errors
/// There is no such VM, or one of them is not there.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vm = &args.vm;
    let progress = &Progress::new(&context.output);
    let results = references::act(args.checkpoints, |checkpoint| async move {
        let name = &checkpoint;
        let accepted = start(context, |client| async move {
            client.delete_checkpoint(vm, name).await
        })
        .await?;
        let how = How::default();
        follow(context, progress, accepted.operation, Some(name), how).await?;
        Ok(Removed::new(name, None))
    })
    .await;
    results.print(context, Shown)
}
