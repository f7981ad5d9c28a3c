//! `banger template prune`

use banger_api::OperationId;
use banger_api::template::PrunedTemplates;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Render;
use crate::prune::{self, Flags, Going};
use crate::view::template;

/// Arguments of `banger template prune`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
VMs that woke from them run on, and the next start of one makes another. Those that nobody has used for 14 \
days, and the least recently used beyond the quota, go by themselves. At a terminal it asks first.

Examples:
  banger template prune --dry-run  say what would go
  banger template prune --yes")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Deletes all templates and prints their keys.
///
/// # Errors
/// One of them cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    prune::run(args.flags, context, |client, prune| async move {
        client.prune_templates(&prune).await
    })
    .await
}

impl Going for PrunedTemplates {
    fn names(&self) -> Vec<&str> {
        let templates = self.templates.iter();
        templates.map(|template| template.key.as_str()).collect()
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
        template::Prune::new(self, dry_run)
    }
}
