//! `banger vm net deny`

use std::time::Duration;

use banger_api::network::ChangeNetwork;

use crate::context::Context;
use crate::duration;
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
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The rules
    #[arg(required = true, value_name = "RULE")]
    rules: Vec<String>,
    /// They count for this time alone, like 30m
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    time: Option<Duration>,
}

/// Adds rules that deny.
///
/// # Errors
/// There is no such VM, or a rule cannot be enforced.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let change = ChangeNetwork {
        deny: args.rules,
        for_s: args.time.map(|time| time.as_secs().max(1)),
        ..ChangeNetwork::default()
    };
    super::change(&args.vm, &change, context).await
}
