//! `banger internal`: what other programs call, not people.

pub mod connect;
pub mod man;
pub mod net;
pub mod unit;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Commands for other programs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be the connection between an SSH client at standard input and output and a guest
    Connect(connect::Args),
    /// Write the manual pages into a folder
    Man(man::Args),
    /// Be the network of one VM
    Net(net::Args),
    /// Print the daemon's unit for a package
    Unit(unit::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Connect(args) => connect::run(args, context).await,
            Self::Man(args) => man::run(args, context),
            Self::Unit(args) => unit::run(args, context),
            // The program's start has taken it, before there was a runtime.
            Self::Net(_) => Ok(0),
        }
    }
}
