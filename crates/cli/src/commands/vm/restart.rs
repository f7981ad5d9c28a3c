//! `banger vm restart`

use super::change::each_and_print;
use super::chosen::Chosen;
use super::stop::Patience;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm restart`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Settings that were changed while the VM ran apply afterwards.

Examples:
  banger vm restart web")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    patience: Patience,
}

/// Restarts VMs and prints their names.
///
/// # Errors
/// One of them is not there, does not stop or does not start.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let stop = &args.patience.into_request();
    each_and_print(&args.chosen, context, |client, id| async move {
        client.restart_vm(&id.to_string(), stop).await
    })
    .await
}
