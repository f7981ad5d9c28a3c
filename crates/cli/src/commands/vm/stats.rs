//! `banger vm stats`

use banger_api::vm::VmState;

use super::chosen::{Selector, labelled, named};
use crate::context::Context;
use crate::failure::Outcome;
use crate::references;
use crate::view::shown::Shown;
use crate::view::vm::Stats;

/// Arguments of `banger vm stats`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Load, memory and uptime of the guest are the guest's own word, and so are its commands: each is a command of \
exec or run with all that it has started.

Examples:
  banger vm stats web --commands  what runs there, by CPU time
  banger vm stats  all VMs that run
  banger vm stats web --json")]
pub struct Args {
    /// VMs: names, ids or starts of ids [default: all that run]
    #[arg(value_name = "VM", conflicts_with = "label")]
    vms: Vec<String>,
    /// The commands that run in the guests, one a line
    #[arg(long)]
    commands: bool,
    #[command(flatten)]
    selector: Selector,
}

/// Prints what VMs use.
///
/// # Errors
/// One of them is not there.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let vms = if args.vms.is_empty() {
        let mut all = labelled(&args.selector.labels, context).await?;
        all.retain(|vm| vm.state == VmState::Running);
        all
    } else {
        named(&args.vms, context).await?
    };
    let results = references::act(vms, |vm| async move {
        let reference = &vm.id.to_string();
        context
            .session
            .read(|client| async move { client.vm_stats(reference).await })
            .await
    })
    .await;
    let commands = args.commands;
    results.print(context, |done| Stats {
        vms: Shown(done),
        commands,
    })
}
