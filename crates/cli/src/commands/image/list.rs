//! `banger image list`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::image::List;

/// Arguments of `banger image list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger image list
  banger image list --json | jq -r '.[].name'")]
pub struct Args {}

/// Prints all images.
///
/// # Errors
/// They cannot be listed.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    let images = context
        .session
        .read(|client| async move { client.images().await })
        .await?;
    context.output.print(&List(images))
}
