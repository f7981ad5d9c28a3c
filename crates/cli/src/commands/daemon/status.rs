//! `banger daemon status`

use banger_api::{ApiError, ErrorCode};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::view::system::Daemon;

/// Arguments of `banger daemon status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  banger daemon status
  banger daemon status --json | jq .pid")]
pub struct Args {}

/// Shows the daemon that runs, and starts none.
///
/// # Errors
/// None runs, or it does not answer.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    match context.session.client().daemon_status().await {
        Ok(status) => context.output.print(&Daemon(status)),
        Err(error) if error.is_no_daemon() => Err(not_running()),
        Err(error) => Err(error.into()),
    }
}

fn not_running() -> Failure {
    ApiError::new(ErrorCode::WrongState, "the daemon does not run")
        .hint("the first command that needs it starts it")
        .into()
}
