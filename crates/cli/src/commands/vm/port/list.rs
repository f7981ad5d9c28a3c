//! `banger vm port list`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::port::Ports;

/// Arguments of `banger vm port list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Published are the ports that were asked for. Servers are what listens in the guest: on banger's own \
network they appear at the VM's address (banger vm addr) by themselves, for you alone.

Examples:
  banger vm port list web
  banger vm port list web --json | jq -r '.[].at'")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints the ports of this host that lead into a VM.
///
/// # Errors
/// There is no such VM.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let vm = context
        .session
        .read(|client| async move { client.vm(reference).await })
        .await?;
    context.output.print(&Ports::of(&vm))
}
