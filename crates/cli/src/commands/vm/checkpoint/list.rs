//! `banger vm checkpoint list`

use super::of_vm;
use crate::context::Context;
use crate::failure::Outcome;
use crate::view::checkpoint::Tree;
use crate::view::vm::Names;

/// Arguments of `banger vm checkpoint list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A checkpoint stands below the one from which the VM had gone on, and * is where it goes on from now.

Examples:
  banger vm checkpoint list web
  banger vm checkpoint list web -q     names, one a line")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints the checkpoints of a VM.
///
/// # Errors
/// There is no such VM.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let all = of_vm(&args.vm, context).await?;
    if context.output.quiet() {
        let names = all.into_iter().map(|one| one.name.to_string()).collect();
        return context.output.print(&Names(names));
    }
    context.output.print(&Tree(all))
}
