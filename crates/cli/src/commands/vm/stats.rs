//! `banger vm stats`

use banger_api::vm::VmState;

use super::change::resolve;
use crate::context::Context;
use crate::failure::Outcome;
use crate::references;
use crate::view::shown::Shown;
use crate::view::vm::Stats;

/// Arguments of `banger vm stats`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Load, memory and uptime of the guest are the guest's own word.

Examples:
  banger vm stats  all VMs that run
  banger vm stats web --json")]
pub struct Args {
    /// VMs: names, ids or starts of ids [default: all that run]
    #[arg(value_name = "VM")]
    vms: Vec<String>,
}

/// Prints what VMs use.
///
/// # Errors
/// One of them is not there.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vms = if args.vms.is_empty() {
        let mut all = context
            .session
            .read(|client| async move { client.vms().await })
            .await?;
        all.retain(|vm| vm.state == VmState::Running);
        all
    } else {
        resolve(&args.vms, context).await?
    };
    let results = references::act(vms, |vm| async move {
        let reference = &vm.id.to_string();
        context
            .session
            .read(|client| async move { client.vm_stats(reference).await })
            .await
    })
    .await;
    results.print(context, |done| Stats(Shown(done)))
}
