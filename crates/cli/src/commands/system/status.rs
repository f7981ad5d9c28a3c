//! `banger system status`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::system::Owned;

/// Arguments of `banger system status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger system status
  banger system status --json | jq -r '.resources[].path'")]
pub struct Args {}

/// Prints what banger owns on this host.
///
/// # Errors
/// The host cannot be looked at.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    let owned = context
        .session
        .read(|client| async move { client.resources().await })
        .await?;
    context.output.print(&Owned(owned))
}
