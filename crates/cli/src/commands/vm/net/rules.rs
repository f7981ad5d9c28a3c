//! `banger vm net rules`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::network::Rules;

/// Arguments of `banger vm net rules`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger vm net rules web
  banger vm net rules web --json | jq -r '.rules[].rule'")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
}

/// Prints a VM's rules.
///
/// # Errors
/// There is no such VM.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let reference = &args.vm;
    let network = context
        .session
        .read(|client| async move { client.vm_network(reference).await })
        .await?;
    context.output.print(&Rules(network))
}
