//! `banger vm net allow`

use std::time::Duration;

use banger_api::network::ChangeNetwork;

use crate::context::Context;
use crate::duration;
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
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The rules
    #[arg(required = true, value_name = "RULE")]
    rules: Vec<String>,
    /// They count for this time alone, like 30m
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    time: Option<Duration>,
}

/// Adds rules that allow.
///
/// # Errors
/// There is no such VM, or a rule cannot be enforced.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let change = ChangeNetwork {
        allow: args.rules,
        for_s: args.time.map(|time| time.as_secs().max(1)),
        ..ChangeNetwork::default()
    };
    super::change(&args.vm, &change, context).await
}
