//! `banger vm stop`

use banger_api::vm::StopVm;

use super::change::each_and_print;
use super::chosen::Chosen;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm stop`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The guest writes out its disks and powers off; when it has not done so in time it is killed.

Examples:
  banger vm stop web
  banger vm stop --timeout 60 db    a guest that takes its time
  banger vm stop --label team=red   all with this label")]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    patience: Patience,
}

/// Time that to wait for guests that are told to stop.
#[derive(Debug, Clone, clap::Args)]
pub struct Patience {
    /// Seconds that a guest gets before it is killed [default: 10]
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u32>,
}

impl Patience {
    /// The request to stop a VM.
    pub fn into_request(self) -> StopVm {
        StopVm {
            timeout_s: self.timeout,
        }
    }
}

/// Stops VMs and prints their names.
///
/// # Errors
/// One of them is not there or does not stop.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let stop = &args.patience.into_request();
    each_and_print(&args.chosen, context, |client, id| async move {
        client.stop_vm(&id.to_string(), stop).await
    })
    .await
}
