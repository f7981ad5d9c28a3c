//! `banger kernel list`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::kernel::List;

/// Arguments of `banger kernel list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger kernel list
  banger kernel list --json | jq -r '.[].name'")]
pub struct Args {}

/// Prints all kernels.
///
/// # Errors
/// They cannot be listed.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    let kernels = context
        .session
        .read(|client| async move { client.kernels().await })
        .await?;
    context.output.print(&List(kernels))
}
