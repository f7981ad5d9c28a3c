//! `banger system sweep`

use banger_api::system::Sweep;

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::system::Owned;

/// Arguments of `banger system sweep`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What somebody claims is never touched: `banger vm delete`, `banger image delete` and `banger kernel delete` remove that.

Examples:
  banger system sweep --dry-run    what would go
  banger system sweep              let it go")]
pub struct Args {
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
}

/// Removes what nothing claims, and prints it.
///
/// # Errors
/// Something cannot be removed.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let sweep = &Sweep {
        dry_run: args.dry_run,
    };
    let swept = context
        .session
        .change(|client| async move { client.sweep(sweep).await })
        .await?;
    if swept.resources.is_empty() {
        context
            .output
            .note("everything that banger made is claimed: there is nothing to sweep");
    }
    context.output.print(&Owned(swept))
}
