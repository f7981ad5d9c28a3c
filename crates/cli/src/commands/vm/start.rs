//! `banger vm start`

use super::change::each_and_print;
use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm start`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm start web
  banger vm start web db cache      all at once
  banger vm start --label team=red  all with this label")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Starts VMs and prints their names.
///
/// # Errors
/// One of them is not there or does not start.
pub async fn run(args: Args, context: &Context) -> Outcome {
    each_and_print(&args.chosen, context, |client, id| async move {
        client.start_vm(&id.to_string()).await
    })
    .await
}
