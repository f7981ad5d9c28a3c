//! `banger image cache`

use clap::Subcommand;

use banger_api::ByteSize;
use banger_api::image::PrunedCache;
use banger_api::vm::Prune;

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::image_cache;

/// Commands on what pulls have fetched.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Remove fetched layers, finished and unfinished
    Prune(Args),
}

/// Arguments of `banger image cache prune`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Images and VMs do not need fetched layers any more; the next pull of an image fetches them again.

Examples:
  banger image cache prune --dry-run  say what would go
  banger image cache prune")]
pub struct Args {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// A pull goes on, or the cache cannot be changed.
    pub async fn run(self, context: &Context) -> Outcome {
        let Self::Prune(args) = self;
        let request = &Prune {
            dry_run: args.dry_run,
        };
        let pruned: PrunedCache = context
            .session
            .change(|client| async move { client.prune_image_cache(request).await })
            .await?;
        context
            .output
            .print(&image_cache::Pruned::new(&pruned, args.dry_run))?;
        let (count, freed) = (pruned.blobs.len(), ByteSize(pruned.freed_bytes));
        let done = if args.dry_run { "would be " } else { "" };
        context
            .output
            .note(&format!("{count} {done}deleted, {freed} {done}freed"));
        Ok(0)
    }
}
