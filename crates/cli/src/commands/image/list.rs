//! `banger image list`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::image::List;
use crate::view::vm::Names;

/// Arguments of `banger image list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger image list
  banger image list -q        names, one a line
  banger image list --json | jq -r '.[].name'")]
pub struct Args {}

/// Prints all images.
///
/// # Errors
/// They cannot be listed.
pub async fn run(_: Args, context: &Context) -> Outcome {
    let images = context
        .session
        .read(|client| async move { client.images().await })
        .await?;
    if context.output.quiet() {
        let names = images.into_iter().map(|image| image.name.into()).collect();
        return context.output.print(&Names(names));
    }
    context.output.print(&List(images))
}
