//! `banger vm net`

pub mod allow;
pub mod check;
pub mod deny;
pub mod log;
pub mod remove;
pub mod rules;
pub mod watch;

use std::time::Duration;

use banger_api::network::ChangeNetwork;
use clap::Subcommand;

use crate::context::Context;
use crate::duration;
use crate::failure::Outcome;
use crate::view::network::Rules;

/// What a VM may reach.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let a VM reach what rules name
    Allow(allow::Args),
    /// Keep a VM from what rules name
    Deny(deny::Args),
    /// Remove rules
    Remove(remove::Args),
    /// Show a VM's rules
    Rules(rules::Args),
    /// Ask what a VM's rules say about a destination
    Check(check::Args),
    /// Show what a VM reached, and what it was refused
    Log(log::Args),
    /// Show refusals as they happen
    Watch(watch::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Allow(args) => allow::run(args, context).await,
            Self::Deny(args) => deny::run(args, context).await,
            Self::Remove(args) => remove::run(args, context).await,
            Self::Rules(args) => rules::run(args, context).await,
            Self::Check(args) => check::run(args, context).await,
            Self::Log(args) => log::run(args, context).await,
            Self::Watch(args) => watch::run(args, context).await,
        }
    }
}

/// Arguments of the commands that add rules.
#[derive(Debug, clap::Args)]
pub struct Added {
    /// The VM: its name, its id or the start of its id
    vm: String,
    /// The rules
    #[arg(required = true, value_name = "RULE")]
    rules: Vec<String>,
    /// They count for this time alone, like 30m
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    time: Option<Duration>,
}

impl Added {
    /// Seconds for which the rules count: at least one.
    fn seconds(&self) -> Option<u64> {
        self.time.map(|time| time.as_secs().max(1))
    }
}

/// Changes a VM's rules and prints those that it has then.
async fn change(vm: &str, change: &ChangeNetwork, context: &Context) -> Outcome {
    let network = context
        .session
        .change(|client| async move { client.change_network(vm, change).await })
        .await?;
    context.output.print(&Rules(network))
}
