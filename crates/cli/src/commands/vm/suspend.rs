//! `banger vm suspend`

use super::change::each_and_print;
use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm suspend`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Its processes go on where they stood, with its disks and its clock set; connections to other hosts are lost. \
A VM whose memory cannot be loaded any more (another QEMU) stays suspended: `banger vm kill` lets it forget.

Examples:
  banger vm suspend web
  banger vm start web    it goes on where it stood")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// Suspends VMs and prints their names.
///
/// # Errors
/// One of them is not there, or is in another state.
pub async fn run(args: Args, context: &Context) -> Outcome {
    each_and_print(&args.chosen, context, |client, id| async move {
        client.suspend_vm(&id.to_string()).await
    })
    .await
}
