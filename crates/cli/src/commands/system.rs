//! `banger system`

pub mod install;
pub mod log;
pub mod status;
pub mod sweep;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Commands on what banger owns on this host, and what it did.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what banger owns on this host, and who claims it
    Status(status::Args),
    /// Remove what nothing claims
    Sweep(sweep::Args),
    /// Show what happened, step by step
    Log(log::Args),
    /// Let systemd start the daemon, and with it VMs that are to run always
    Install(install::Install),
    /// Take that away again
    Uninstall(install::Uninstall),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Status(args) => status::run(args, context).await,
            Self::Sweep(args) => sweep::run(args, context).await,
            Self::Log(args) => log::run(args, context).await,
            Self::Install(args) => install::install(args, context).await,
            Self::Uninstall(args) => install::uninstall(args, context),
        }
    }
}
