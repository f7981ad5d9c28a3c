//! `banger daemon status`

use banger_api::{ApiError, ErrorCode};

use crate::context::Context;
use crate::endpoint::is_older;
use crate::failure::{Failure, Outcome};
use crate::takeover::{self, Found};
use crate::view::system::Daemon;

/// Arguments of `banger daemon status`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It shows what is under way in the daemon, and whether it is an older build than this program: one with nothing \
under way makes room for the first command that changes something, one that is busy serves on.

Examples:
  banger daemon status
  banger daemon status --json | jq .pid
  banger daemon status --json | jq .activity")]
pub struct Args {}

/// Shows the daemon that runs, and starts none.
///
/// # Errors
/// None runs, or it does not answer.
pub async fn run(_args: Args, context: &Context) -> Outcome {
    let (endpoint, client) = (context.session.endpoint(), context.session.client());
    let mut status = match takeover::find(endpoint, client).await? {
        Found::Answers(status) => *status,
        Found::Silent(pid) => return Err(silent(pid)),
        Found::Nobody => return Err(not_running()),
    };
    status.activity = Some(takeover::activity(&status, client).await?);
    let older = is_older(&status.build, &endpoint.build);
    context.output.print(&Daemon::new(status, older))
}

fn silent(pid: u32) -> Failure {
    let message = format!("the daemon (process {pid}) is starting or ending");
    ApiError::new(ErrorCode::WrongState, message)
        .hint("ask again in a moment; it finishes its operations before it ends")
        .into()
}

fn not_running() -> Failure {
    ApiError::new(ErrorCode::WrongState, "the daemon does not run")
        .hint("the first command that needs it starts it")
        .into()
}
