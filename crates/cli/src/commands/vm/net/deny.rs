//! `banger vm net deny`

use banger_api::network::ChangeNetwork;

use super::Added;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm net deny`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A rule is [PROTOCOL:]TARGET[:PORTS], for every protocol when none is said. It holds at once, wins over every rule \
that allows, and cuts what is open. See banger vm net allow --help for targets.

Examples:
  banger vm net deny web 192.0.2.0/24
  banger vm net deny web ads.example.com --for 1h")]
pub struct Args {
    #[command(flatten)]
    added: Added,
}

/// Adds rules that deny.
///
/// # Errors
/// There is no such VM, or a rule cannot be enforced.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let change = ChangeNetwork {
        for_s: args.added.seconds(),
        deny: args.added.rules,
        ..ChangeNetwork::default()
    };
    super::change(&args.added.vm, &change, context).await
}
