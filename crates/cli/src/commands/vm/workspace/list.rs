//! `banger vm workspace list`

use crate::commands::vm::change::find;
use crate::context::Context;
use crate::failure::Outcome;
use crate::view::workspace::Workspaces;
use crate::workspace::all_workspaces;

/// Arguments of `banger vm workspace list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm workspace list web
  banger vm workspace list web --json | jq -r '.[].source'")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Lists the repositories that were sent to a VM.
///
/// # Errors
/// There is no such VM, or a record is damaged.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vm = find(&args.vm, context).await?;
    let all = all_workspaces(&vm.id.to_string(), context).await?;
    context.output.print(&Workspaces::of(&all))
}
