//! `banger vm pause`

use super::change::each_and_print;
use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm pause`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Its VMM stays, and nothing in it runs: `banger vm suspend` gives its memory back to the host, too.

Examples:
  banger vm pause web
  banger vm resume web   it goes on")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Lets VMs stand still and prints their names.
///
/// # Errors
/// One of them is not there, or is in another state.
pub async fn run(args: Args, context: &Context) -> Outcome {
    each_and_print(&args.chosen, context, |client, id| async move {
        client.pause_vm(&id.to_string()).await
    })
    .await
}
