//! `banger secret list`

use crate::context::Context;
use crate::failure::Outcome;
use crate::view::secret::List;
use crate::view::vm::Names;

/// Arguments of `banger secret list`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger secret list
  banger secret list -q      names, one a line
  banger secret list --json | jq -r '.[] | select(.vms == []) | .name'")]
pub struct Args {}

/// Prints all secrets, without their values.
///
/// # Errors
/// They cannot be listed.
pub async fn run(_: Args, context: &Context) -> Outcome {
    let secrets = context
        .session
        .read(|client| async move { client.secrets().await })
        .await?;
    if context.output.quiet() {
        let names = secrets.into_iter().map(|secret| secret.name).collect();
        return context.output.print(&Names(names));
    }
    context.output.print(&List(secrets))
}
