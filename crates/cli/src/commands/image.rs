//! `banger image`

pub mod build;
pub mod cache;
pub mod delete;
pub mod export;
pub mod list;
pub mod made;
pub mod place;
pub mod prune;
pub mod pull;
pub mod register;
pub mod rename;
pub mod reseed;
pub mod seed;
pub mod show;
mod stdin;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Images.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from a recipe
    Build(build::Args),
    /// List images
    #[command(alias = "ls")]
    List(list::Args),
    /// Show all about images
    Show(show::Args),
    /// Make an image of a container image, from a registry or a file
    Pull(pull::Args),
    /// Make an image from a root file system on this host
    Register(register::Args),
    /// Write an image as an OCI archive
    Export(export::Args),
    /// Give an image another name
    #[command(alias = "mv")]
    Rename(rename::Args),
    /// Give an image another work seed
    Reseed(reseed::Args),
    /// Delete images that no VM uses
    #[command(alias = "rm")]
    Delete(delete::Args),
    /// Delete all images that no VM uses
    Prune(prune::Args),
    /// Show and prune what pulls have fetched
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  banger image cache prune --dry-run
  banger image cache prune"
    )]
    Cache(cache::Command),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Its failure.
    pub async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Build(args) => build::run(args, context).await,
            Self::List(args) => list::run(args, context).await,
            Self::Show(args) => show::run(args, context).await,
            Self::Pull(args) => pull::run(args, context).await,
            Self::Register(args) => register::run(args, context).await,
            Self::Export(args) => export::run(args, context).await,
            Self::Rename(args) => rename::run(args, context).await,
            Self::Reseed(args) => reseed::run(args, context).await,
            Self::Delete(args) => delete::run(args, context).await,
            Self::Prune(args) => prune::run(args, context).await,
            Self::Cache(command) => command.run(context).await,
        }
    }
}
