//! `banger daemon stop`

use crate::context::Context;
use crate::failure::Outcome;
use crate::takeover;

/// Arguments of `banger daemon stop`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Running VMs go on; the next command starts a daemon again, which takes them over. What goes through the daemon \
would be cut: operations, and every exec, ssh, cp, logs -f and forwarded port. It names them and stays, unless \
--force is given (exit code 4).

Examples:
  banger daemon stop
  banger daemon stop --force   also when something is under way")]
pub struct Args {
    /// Stop it whatever is under way: operations are cancelled, commands and copies cut
    #[arg(long)]
    pub force: bool,
}

/// Stops the daemon and waits until it is gone; where none runs there is nothing to do.
///
/// # Errors
/// Something is under way, or it does not end.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let session = &context.session;
    let stopped = takeover::stop(
        session.endpoint(),
        session.client(),
        args.force,
        &context.output,
    );
    if !stopped.await? {
        context.output.note("the daemon does not run");
    }
    Ok(0)
}
