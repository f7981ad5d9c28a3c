//! `banger vm show`

use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;
use crate::view::shown::Shown;
use crate::view::vm::Whole;

/// Arguments of `banger vm show`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm show web
  banger vm show web --json | jq -r '.[].state'")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Prints all about VMs.
///
/// # Errors
/// One of them is not there.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vms = args.chosen.find(context).await?;
    let shown = vms.into_iter().map(Whole).collect();
    context.output.print(&Shown(shown))
}
