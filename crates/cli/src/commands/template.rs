//! `banger template`

pub mod list;
pub mod prune;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Templates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List templates
    #[command(alias = "ls")]
    List(list::Args),
    /// Delete all templates
    Prune(prune::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List(args) => list::run(args, context).await,
            Self::Prune(args) => prune::run(args, context).await,
        }
    }
}
