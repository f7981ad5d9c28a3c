//! `banger vm net check`

use banger_api::network::CheckNetwork;

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::network::Verdict;

/// Exit code of a destination that is refused.
const REFUSED: u8 = 1;

/// Arguments of `banger vm net check`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The VM's network process answers, as it would the guest, and leaves no trace. Exit code 1: it is refused.

Examples:
  banger vm net check web github.com:443
  banger vm net check web host:5432
  banger vm net check web udp:time.example:123")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// NAME:PORT, ADDRESS:PORT or host:PORT, with udp: before it for UDP
    #[arg(value_name = "DESTINATION")]
    target: String,
}

/// Prints what a VM's rules say about a destination.
///
/// # Errors
/// There is no such VM, or it does not run.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let (reference, check) = (
        &args.vm,
        &CheckNetwork {
            target: args.target,
        },
    );
    let verdict = context
        .session
        .read(|client| async move { client.check_network(reference, check).await })
        .await?;
    let code = if verdict.allowed { 0 } else { REFUSED };
    context.output.print(&Verdict(verdict))?;
    Ok(code)
}
