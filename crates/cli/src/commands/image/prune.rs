//! `banger image prune`

use banger_api::OperationId;
use banger_api::image::PrunedImages;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Render;
use crate::prune::{self, Flags, Going};
use crate::view::image;

/// Arguments of `banger image prune`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Images that a recipe made are built again when a VM needs them. At a terminal it asks first.

Examples:
  banger image prune --dry-run  say what would go
  banger image prune --yes")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Deletes all images that no VM uses and prints their names.
///
/// # Errors
/// One of them cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    prune::run(args.flags, context, |client, prune| async move {
        client.prune_images(&prune).await
    })
    .await
}

impl Going for PrunedImages {
    fn names(&self) -> Vec<&str> {
        self.images
            .iter()
            .map(|image| image.name.as_str())
            .collect()
    }
    fn with_them(&self) -> &str {
        ""
    }
    fn freed_bytes(&self) -> u64 {
        self.freed_bytes
    }
    fn operations(&self) -> &[OperationId] {
        &self.operations
    }
    fn view(&self, dry_run: bool) -> impl Render {
        image::Prune::new(self, dry_run)
    }
}
