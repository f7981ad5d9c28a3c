//! A command in a guest that is not the user's own: its output is beside the data, or for us.

use std::time::Duration;

use banger_api::vm::Exec;
use banger_api::{ApiError, ErrorCode};
use banger_client::{ExecEvent, ExecSession};
use banger_guest::ExitStatus;

use crate::attach::output::Writer;
use crate::context::Context;
use crate::failure::{Failure, chain};

/// Of output that is not shown, in bytes, what is kept to be told when the command fails.
const KEPT: usize = 2000;
/// Largest answer to a question, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Time that an answer may take: a shell in an emulated guest that is busy.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);

/// Runs a command whose whole output the user sees on standard error. With `--json` its end is in the failure instead,
/// whose `hint` is the next step.
///
/// # Errors
/// It cannot be run, or ends with anything but 0: `what` names it.
pub(super) async fn show(
    vm: &str,
    what: &str,
    hint: &str,
    exec: &Exec,
    context: &Context,
) -> Result<(), Failure> {
    let json = context.output.json();
    let mut kept = Vec::new();
    context.output.clear_status();
    let mut writer = Writer::start()?;
    let mut command = SideCommand::start(vm, what, exec, context).await?;
    let ended = loop {
        let bytes = match command.next().await? {
            ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) => bytes,
            ExecEvent::Ended(status) => break status,
            _ => continue,
        };
        if json {
            kept.extend_from_slice(&bytes);
            let surplus = kept.len().saturating_sub(KEPT);
            kept.drain(..surplus);
        } else {
            writer.stderr(bytes).await?;
        }
    };
    writer.finish().await?;
    let how = match ended {
        ExitStatus::Code(0) => return Ok(()),
        ExitStatus::Code(code) => format!("ended with {code}"),
        ExitStatus::Signal(signal) => format!("was ended by signal {signal}"),
    };
    let end = match kept.is_empty() {
        true => String::new(),
        false => format!(": {}", String::from_utf8_lossy(&kept).trim()),
    };
    Err(
        ApiError::new(ErrorCode::GuestFailed, format!("{what} {how}{end}"))
            .hint(hint)
            .into(),
    )
}

/// Runs a command whose standard output is the answer to a question.
///
/// # Errors
/// It cannot be run, fails, or answers too much or too late: `what` names it.
pub(super) async fn ask(
    vm: &str,
    what: &str,
    exec: &Exec,
    context: &Context,
) -> Result<Vec<u8>, Failure> {
    let asked = async {
        let mut answer = Vec::new();
        let mut command = SideCommand::start(vm, what, exec, context).await?;
        loop {
            match command.next().await? {
                ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) => {
                    answer.extend_from_slice(&bytes);
                }
                ExecEvent::Ended(ExitStatus::Code(0)) => return Ok(answer),
                ExecEvent::Ended(status) => {
                    return Err(failed(what, &format!("it ended with {status:?}")));
                }
                _ => {}
            }
            if answer.len() > MAX_ANSWER {
                return Err(failed(what, "the guest answers without end"));
            }
        }
    };
    match tokio::time::timeout(ANSWER_DEADLINE, asked).await {
        Ok(answer) => answer,
        Err(_late) => Err(failed(what, "the guest does not answer")),
    }
}

/// A command that runs. Dropping it ends the command.
struct SideCommand<'a> {
    what: &'a str,
    session: ExecSession,
}

impl<'a> SideCommand<'a> {
    async fn start(
        vm: &str,
        what: &'a str,
        exec: &Exec,
        context: &Context,
    ) -> Result<Self, Failure> {
        let session = context
            .session
            .change(|client| async move { client.exec(vm, exec).await })
            .await?;
        let mut command = Self { what, session };
        let started = command.session.started().await;
        started.map_err(|error| failed(what, &chain(&error)))?;
        Ok(command)
    }

    async fn next(&mut self) -> Result<ExecEvent, Failure> {
        let event = self.session.next().await;
        event.map_err(|error| failed(self.what, &chain(&error)))
    }
}

fn failed(what: &str, why: &str) -> Failure {
    ApiError::new(ErrorCode::GuestFailed, format!("{what}: {why}")).into()
}
