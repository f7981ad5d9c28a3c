//! `banger secret delete`

use banger_secret::SecretName;

use crate::context::Context;
use crate::failure::Outcome;
use crate::references;
use crate::view::shown::{Removed, Shown};

/// Arguments of `banger secret delete`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A secret that VMs use stays: banger vm set VM --no-secret NAME takes it from them first.

Examples:
  banger secret delete openai")]
pub struct Args {
    /// Names of secrets
    #[arg(required = true, value_name = "NAME")]
    names: Vec<SecretName>,
}

/// Deletes secrets and prints their names.
///
/// # Errors
/// One of them is not there, is in use, or cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let results = references::act(args.names, |name| async move {
        let name = name.as_str();
        let deleted = context
            .session
            .change(|client| async move { client.delete_secret(name).await })
            .await?;
        Ok(Removed::new(deleted.name, None))
    })
    .await;
    results.print(context, Shown)
}
