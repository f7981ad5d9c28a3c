//! A command in a guest whose output is for us: bounded, and ended as soon as it is not what it should be.

use std::time::Duration;

use banger_api::vm::Exec;
use banger_api::{ApiError, ErrorCode};
use banger_client::{ExecError, ExecEvent};
use banger_guest::ExitStatus;
use banger_workspace::export::{NO_GIT, NO_WORKSPACE};

use crate::context::Context;
use crate::failure::{Failure, chain};

/// Of error output, in bytes, what is kept, and what is taken at all.
const KEPT_MESSAGE: usize = 4 * 1024;
const MAX_MESSAGE: usize = 1 << 20;
/// Time that a guest may say nothing: git reads much before its first word.
const STALL: Duration = Duration::from_secs(600);

/// End of a command that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Done,
    /// The guest has no git.
    NoGit,
}

/// Runs a command in a guest as root and gives its output to `take`, which may refuse it.
///
/// # Errors
/// The command cannot be run or fails, or `take` refuses.
pub async fn answer(
    vm: &str,
    argv: Vec<String>,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    context: &Context,
) -> Result<Ended, Failure> {
    let exec = &Exec {
        argv,
        cwd: Some("/".to_owned()),
        user: Some("root".to_owned()),
        ..Exec::default()
    };
    let mut session = context
        .session
        .change(|client| async move { client.exec(vm, exec).await })
        .await?;
    let told = |error: &ExecError| broken(&chain(error));
    session.started().await.map_err(|error| told(&error))?;
    let (mut message, mut told_bytes) = (Vec::new(), 0);
    loop {
        let Ok(next) = tokio::time::timeout(STALL, session.next()).await else {
            return Err(broken("it says nothing"));
        };
        match next.map_err(|error| told(&error))? {
            ExecEvent::Stdout(bytes) => take(&bytes)?,
            ExecEvent::Stderr(bytes) => {
                told_bytes += bytes.len();
                if told_bytes > MAX_MESSAGE {
                    return Err(broken("it has endless error messages"));
                }
                let room = KEPT_MESSAGE.saturating_sub(message.len());
                message.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            ExecEvent::Ended(ExitStatus::Code(0)) => return Ok(Ended::Done),
            ExecEvent::Ended(ExitStatus::Code(NO_GIT)) => return Ok(Ended::NoGit),
            ExecEvent::Ended(status) => return Err(failed(status, &message)),
            _ => {}
        }
    }
}

/// The guest's git is needed, and there is none.
pub fn no_git(why: &str) -> Failure {
    ApiError::new(
        ErrorCode::GuestFailed,
        format!("the guest has no git, {why}"),
    )
    .hint("install it there (apt install git), or copy files out with banger cp")
    .into()
}

fn broken(why: &str) -> Failure {
    ApiError::new(ErrorCode::GuestFailed, format!("the guest's git: {why}")).into()
}

fn failed(status: ExitStatus, message: &[u8]) -> Failure {
    match status {
        ExitStatus::Code(NO_WORKSPACE) => ApiError::new(
            ErrorCode::GuestFailed,
            "the workspace is not in the guest any more",
        )
        .into(),
        status => {
            let text = String::from_utf8_lossy(message);
            let told = text
                .lines()
                .find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
            let told = told.or(text.lines().last()).unwrap_or_default();
            let told: String = told.chars().take(300).collect();
            broken(&format!("it ended with {status:?}: {told}"))
        }
    }
}
