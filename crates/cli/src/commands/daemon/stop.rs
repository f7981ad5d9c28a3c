//! `banger daemon stop`

use crate::context::Context;
use crate::failure::Outcome;
use crate::launch;

/// Arguments of `banger daemon stop`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Running VMs go on; the next command starts a daemon again, which takes them over.

Examples:
  banger daemon stop")]
pub struct Args {}

/// Stops the daemon and waits until it is gone; where none runs there is nothing to do.
///
/// # Errors
/// It does not end.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    if !launch::stop(context.session.client()).await? {
        context.output.note("the daemon does not run");
    }
    Ok(0)
}
