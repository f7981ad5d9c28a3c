//! `banger daemon`

pub mod logs;
pub mod run;
pub mod status;
pub mod stop;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// The daemon.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the log of the daemon in the background
    Logs(logs::Args),
    /// Run the daemon here, until it is stopped
    Run(run::Args),
    /// Show the daemon that runs
    Status(status::Args),
    /// Stop the daemon; VMs run on
    Stop(stop::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Logs(args) => logs::run(args, context).await,
            Self::Run(args) => run::run(args, context).await,
            Self::Status(args) => status::run(args, context).await,
            Self::Stop(args) => stop::run(args, context).await,
        }
    }
}
