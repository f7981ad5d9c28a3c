//! `banger secret set`

use banger_secret::SecretName;

use super::value;
use crate::context::Context;
use crate::failure::Outcome;
use crate::view::secret::Changed;

/// Arguments of `banger secret set`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The value is asked for at a terminal, where it is not shown, or read from standard input; it is never an argument, \
which other programs could see. It is kept on this host in a file that only you can read. VMs use it by \
`--secret NAME=HOST`: they send requests to http://NAME.secret.internal, and never have the value. VMs that run \
have a new value at once.

Examples:
  banger secret set openai
  pass show api/openai | banger secret set openai
  banger run --secret openai=api.openai.com -- \\
    curl http://openai.secret.internal/v1/models")]
pub struct Args {
    /// Its name: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME")]
    name: SecretName,
}

/// Keeps a secret and prints its name.
///
/// # Errors
/// There is no value, it fits into no request, or it cannot be kept.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let name = args.name.as_str();
    let value = &value::read(name)?;
    let secret = context
        .session
        .change(|client| async move { client.set_secret(name, value.to_vec()).await })
        .await?;
    context.output.print(&Changed(secret))
}
