//! `banger template list`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::template::List;
use crate::view::vm::Names;

/// Arguments of `banger template list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A template is a booted machine that waits to be told what it is: VMs of images without an init wake from it \
instead of booting. They are made in the background where the configuration has `[templates] enabled = true`.

Examples:
  banger template list
  banger template list -q     keys, one a line
  banger template list --json | jq -r '.[].kernel'")]
pub struct Args {}

/// Prints all templates.
///
/// # Errors
/// They cannot be listed.
pub async fn run(_: Args, context: &Context) -> Outcome {
    let templates = context
        .session
        .read(|client| async move { client.templates().await })
        .await?;
    if context.output.quiet() {
        let keys = templates.into_iter().map(|template| template.key).collect();
        return context.output.print(&Names(keys));
    }
    context.output.print(&List(templates))
}
