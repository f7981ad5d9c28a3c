//! `banger kernel`

pub mod delete;
pub mod import;
pub mod list;
pub mod show;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Kernels.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import a kernel with its modules
    Import(import::Args),
    /// List kernels
    #[command(alias = "ls")]
    List(list::Args),
    /// Show all about kernels
    Show(show::Args),
    /// Delete kernels that no VM boots
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
            Self::Import(args) => import::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
            Self::Show(args) => show::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
        }
    }
}
