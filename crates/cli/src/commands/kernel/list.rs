//! `banger kernel list`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::kernel::List;
use crate::view::vm::Names;

/// Arguments of `banger kernel list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger kernel list
  banger kernel list -q        names, one a line
  banger kernel list --json | jq -r '.[].name'")]
pub struct Args {}

/// Prints all kernels.
///
/// # Errors
/// They cannot be listed.
pub async fn run(_: Args, context: &Context) -> Outcome {
    let kernels = context
        .session
        .read(|client| async move { client.kernels().await })
        .await?;
    if context.output.quiet() {
        let names = kernels
            .into_iter()
            .map(|kernel| kernel.name.into())
            .collect();
        return context.output.print(&Names(names));
    }
    context.output.print(&List(kernels))
}
