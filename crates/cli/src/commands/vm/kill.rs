//! `banger vm kill`

use banger_api::vm::KillVm;

use super::change::each_and_print;
use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm kill`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
What the guest has not written to its disks is lost, as in a power cut. Its disks stay.

Examples:
  banger vm kill web
  banger vm kill --signal TERM web")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// The signal: KILL or TERM
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
}

/// Kills VMs and prints their names.
///
/// # Errors
/// One of them is not there, or cannot be killed.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let kill = &KillVm {
        signal: args.signal,
    };
    each_and_print(&args.chosen, context, |client, id| async move {
        client.kill_vm(&id.to_string(), kill).await
    })
    .await
}
