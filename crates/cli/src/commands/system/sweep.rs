//! `banger system sweep`

use banger_api::system::{Resources, Sweep};

use crate::consent;
use crate::context::Context;
use crate::failure::Outcome;
use crate::prune::Flags;
use crate::view::system::Owned;

/// Arguments of `banger system sweep`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
What somebody claims is never touched: `banger vm delete`, `banger image delete` and `banger kernel delete` \
remove that.

Examples:
  banger system sweep --dry-run  what would go
  banger system sweep --yes      let it go")]
pub struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Removes what nothing claims, and prints it.
///
/// # Errors
/// The user does not want it, or something cannot be removed.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let sweep = async |dry_run| {
        let sweep = &Sweep { dry_run };
        context
            .session
            .change(|client| async move { client.sweep(sweep).await })
            .await
    };
    if args.flags.dry_run {
        return told(sweep(true).await?, context);
    }
    if !args.flags.yes {
        let would = sweep(true).await?;
        if would.resources.is_empty() {
            return told(would, context);
        }
        let paths = would.resources.iter().map(|resource| &resource.id);
        let paths: Vec<_> = paths.map(String::as_str).collect();
        let question = format!("Remove {}?", paths.join(", "));
        consent::asked(&question, consent::YES_OR_DRY_RUN, &context.output)?;
    }
    told(sweep(false).await?, context)
}

fn told(swept: Resources, context: &Context) -> Outcome {
    if swept.resources.is_empty() {
        context
            .output
            .note("everything that banger made is claimed: there is nothing to sweep");
        if !context.output.json() {
            return Ok(0);
        }
    }
    context.output.print(&Owned(swept))
}
