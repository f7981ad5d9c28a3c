//! `banger vm net remove`

use banger_api::network::ChangeNetwork;

use crate::context::Context;
use crate::failure::Outcome;

/// Arguments of `banger vm net remove`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It holds at once: connections that no rule allows any more are cut.

Examples:
  banger vm net remove web host:5432")]
pub struct Args {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The rules, as banger vm net rules shows them
    #[arg(required = true, value_name = "RULE")]
    rules: Vec<String>,
}

/// Removes rules.
///
/// # Errors
/// There is no such VM, or no such rule.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let change = ChangeNetwork {
        remove: args.rules,
        ..ChangeNetwork::default()
    };
    super::change(&args.vm, &change, context).await
}
