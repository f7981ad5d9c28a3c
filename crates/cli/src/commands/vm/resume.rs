//! `banger vm resume`

use super::change::each_and_print;
use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm resume`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm resume web")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Lets VMs go on that stand still and prints their names.
///
/// # Errors
/// One of them is not there, or is in another state.
pub async fn run(args: Args, context: &Context) -> Outcome {
    each_and_print(&args.chosen, context, |client, id| async move {
        client.resume_vm(&id.to_string()).await
    })
    .await
}
