//! `banger kernel delete`

use super::show;
use crate::context::Context;
use crate::failure::Outcome;
use crate::follow::{How, follow, start};
use crate::progress::Progress;
use crate::references;
use crate::view::shown::{Removed, Shown};

/// Arguments of `banger kernel delete`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A kernel that VMs boot stays: delete them first.

Examples:
  banger kernel delete 6.1.0-old")]
pub struct Args {
    /// Names of kernels
    #[arg(required = true, value_name = "KERNEL")]
    kernels: Vec<String>,
}

/// Deletes kernels and prints their names.
///
/// # Errors
/// One of them is not there, is in use, or cannot be deleted.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let kernels = show::resolve(&args.kernels, context).await?;
    let progress = &Progress::new(&context.output);
    let results = references::act(kernels, |kernel| async move {
        let name = kernel.name.as_str();
        let accepted = start(
            context,
            |client| async move { client.delete_kernel(name).await },
        )
        .await?;
        let how = How::default();
        follow(context, progress, accepted.operation, Some(name), how).await?;
        Ok(Removed::new(name, None))
    })
    .await;
    results.print(context, Shown)
}
