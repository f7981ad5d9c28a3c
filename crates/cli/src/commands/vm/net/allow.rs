//! `banger vm net allow`

use banger_api::network::ChangeNetwork;

use super::Added;
use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm net allow`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A rule is [PROTOCOL:]TARGET[:PORTS], for TCP when no protocol is said. It holds at once. TARGET is a name, *.NAME \
for all names below it, addresses like 10.1.0.0/16, host for this host's own servers, or a set: @debian @pypi \
@npm @crates @github.

Examples:
  banger vm net allow web host:5432            a database of this host's
  banger vm net allow web 10.1.0.0/16:443
  banger vm net allow web github.com:22,443 @debian
  banger vm net allow web '*.example.com' --for 1h")]
pub struct Args {
    #[command(flatten)]
    added: Added,
}

/// Adds rules that allow.
///
/// # Errors
/// There is no such VM, or a rule cannot be enforced.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let change = ChangeNetwork {
        for_s: args.added.seconds(),
        allow: args.added.rules,
        ..ChangeNetwork::default()
    };
    super::change(&args.added.vm, &change, context).await
}
