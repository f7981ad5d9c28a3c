//! `banger vm list`

use banger_api::vm::VmState;

use super::chosen::{Selector, labelled};
use crate::context::Context;
use crate::failure::Outcome;
use crate::view::vm::{List, Names};

/// Arguments of `banger vm list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger ps
  banger ps --label team=red --label job  those that have both
  banger ps --json | jq -r '.[] | select(.state == \"error\") | .error'
  banger ps --json | jq -r '.[] | select(.conditions != []) | .name'")]
pub struct Args {
    /// Only VMs that run
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    selector: Selector,
    /// All columns, and nothing cut to fit the terminal
    #[arg(long, conflicts_with = "quiet")]
    wide: bool,
}

/// Prints all VMs.
///
/// # Errors
/// They cannot be listed.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut vms = labelled(&args.selector.labels, context).await?;
    if args.running {
        vms.retain(|vm| vm.state == VmState::Running);
    }
    if context.output.quiet() {
        let names = vms.into_iter().map(|vm| vm.name.into()).collect();
        return context.output.print(&Names(names));
    }
    context.output.print(&List::new(vms, args.wide))
}
