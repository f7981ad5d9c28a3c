//! `banger vm workspace`

pub mod diff;
pub mod export;
pub mod list;
pub mod prepare;
mod watching;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// A repository in a VM.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put a repository into a running VM, or what changed in it since
    Prepare(prepare::Args),
    /// Write what changed in the guest as a patch
    Export(export::Args),
    /// Show what changed in the guest
    Diff(diff::Args),
    /// List the repositories that were sent to a VM
    List(list::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Prepare(args) => prepare::run(args, context).await,
            Self::Export(args) => export::run(args, context).await,
            Self::Diff(args) => diff::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
        }
    }
}
