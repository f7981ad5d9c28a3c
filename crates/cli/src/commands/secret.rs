//! `banger secret`

pub mod delete;
pub mod list;
pub mod set;
mod value;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Secrets.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep a secret on this host; its value comes from standard input
    Set(set::Args),
    /// List secrets, without their values
    #[command(alias = "ls")]
    List(list::Args),
    /// Delete secrets
    #[command(alias = "rm")]
    Delete(delete::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Set(args) => set::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
        }
    }
}
