//! `banger vm start`

use super::change::each_and_print;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm start`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm start web
  banger vm start web db cache  all at once")]
pub struct Args {
    /// VMs: names, ids or starts of ids
    #[arg(required = true, value_name = "VM")]
    vms: Vec<String>,
}

/// Starts VMs and prints their names.
///
/// # Errors
/// One of them is not there or does not start.
pub async fn run(args: Args, context: &Context) -> Outcome {
    each_and_print(&args.vms, context, |client, id| async move {
        client.start_vm(&id.to_string()).await
    })
    .await
}
