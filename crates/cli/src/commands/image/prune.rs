//! `banger image prune`

use std::io::{self, IsTerminal as _};

use banger_api::ByteSize;
use banger_api::image::PrunedImages;
use banger_api::vm::Prune;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{How, follow};
use crate::progress::Progress;
use crate::references;
use crate::view::image;

/// Arguments of `banger image prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Images that a recipe made are built again when a VM needs them. At a terminal it asks first.

Examples:
  banger image prune --dry-run    say what would go
  banger image prune --yes")]
pub struct Args {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Deletes all images that no VM uses and prints their names.
///
/// # Errors
/// One of them cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let asks = !args.yes && !context.output.json() && io::stdin().is_terminal();
    if args.dry_run || asks {
        let would = prune(true, context).await?;
        if args.dry_run {
            return context.output.print(&image::Prune::new(&would, true));
        }
        if !would.images.is_empty() && !confirmed(&would, context) {
            return Err(Failure::interrupted("nothing was deleted"));
        }
    }
    let pruned = prune(false, context).await?;
    let progress = &Progress::new(&context.output);
    let results = references::act(pruned.operations.clone(), |operation| async move {
        follow(context, progress, operation, None, How::default()).await
    })
    .await;
    context.output.print(&image::Prune::new(&pruned, false))?;
    match results.failure {
        Some(failure) => Err(failure),
        None => {
            let (count, freed) = (pruned.images.len(), ByteSize(pruned.freed_bytes));
            context
                .output
                .note(&format!("{count} deleted, {freed} freed"));
            Ok(0)
        }
    }
}

async fn prune(dry_run: bool, context: &Context) -> Result<PrunedImages, Failure> {
    let request = &Prune { dry_run };
    context
        .session
        .change(|client| async move { client.prune_images(request).await })
        .await
}

fn confirmed(would: &PrunedImages, context: &Context) -> bool {
    let names: Vec<_> = would
        .images
        .iter()
        .map(|image| image.name.as_str())
        .collect();
    let names = names.join(", ");
    context.output.confirms(&format!("Delete {names}?"))
}
