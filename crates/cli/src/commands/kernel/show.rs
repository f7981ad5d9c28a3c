//! `banger kernel show`

use banger_api::kernel::Kernel;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::references;
use crate::view::kernel::Whole;
use crate::view::shown::Shown;

/// Arguments of `banger kernel show`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger kernel show debian-cloud
  banger kernel show debian-cloud --json | jq '.[].digest'")]
pub struct Args {
    /// Names of kernels
    #[arg(required = true, value_name = "KERNEL")]
    kernels: Vec<String>,
}

/// Prints all about kernels.
///
/// # Errors
/// One of them is not there.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let kernels = resolve(&args.kernels, context).await?;
    let shown = kernels.into_iter().map(Whole).collect();
    context.output.print(&Shown(shown))
}

/// The kernels that are named, each once.
pub(super) async fn resolve(names: &[String], context: &Context) -> Result<Vec<Kernel>, Failure> {
    let find = |name: String| async move {
        let name = &name;
        context
            .session
            .read(|client| async move { client.kernel(name).await })
            .await
    };
    references::resolve(names, find, |kernel| kernel.name.clone()).await
}
