//! A command in a guest that is not the user's own: its output is beside the data, or for us.

use std::time::Duration;

use banger_api::vm::Exec;
use banger_api::{ApiError, ErrorCode};
use banger_guest::ExitStatus;
use banger_guest::wire::frame::{Frame, FrameReader};

use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output::raw::write_fully;

/// Of output that is not shown, in bytes, what is kept to be told when the command fails.
const KEPT: usize = 2000;
/// Largest answer to a question, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// How long an answer may take: a shell in an emulated guest that is busy.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);

/// Runs a command whose whole output the user sees on standard error. With `--json` its end is in the failure instead.
///
/// # Errors
/// It cannot be run, or ends with anything but 0: `what` names it.
pub(super) async fn show(
    vm: &str,
    what: &str,
    exec: &Exec,
    context: &Context,
) -> Result<(), Failure> {
    let json = context.output.json();
    let mut kept = Vec::new();
    context.output.clear_status();
    let mut take = |bytes: &[u8]| {
        if json {
            kept.extend_from_slice(bytes);
            let surplus = kept.len().saturating_sub(KEPT);
            kept.drain(..surplus);
        } else {
            // Standard error that is closed is the user's wish; the command goes on.
            let _ = write_fully(std::io::stderr(), bytes);
        }
        Ok(())
    };
    let ended = run(vm, what, exec, &mut take, context).await?;
    let how = match ended {
        ExitStatus::Code(0) => return Ok(()),
        ExitStatus::Code(code) => format!("ended with {code}"),
        ExitStatus::Signal(signal) => format!("was ended by signal {signal}"),
    };
    let end = match kept.is_empty() {
        true => String::new(),
        false => format!(": {}", String::from_utf8_lossy(&kept).trim()),
    };
    Err(ApiError::new(ErrorCode::GuestFailed, format!("{what} {how}{end}")).into())
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
    let mut answer = Vec::new();
    let mut take = |bytes: &[u8]| {
        answer.extend_from_slice(bytes);
        if answer.len() > MAX_ANSWER {
            return Err(failed(what, "the guest answers without end"));
        }
        Ok(())
    };
    let asked = run(vm, what, exec, &mut take, context);
    match tokio::time::timeout(ANSWER_DEADLINE, asked).await {
        Ok(Ok(ExitStatus::Code(0))) => Ok(answer),
        Ok(Ok(status)) => Err(failed(what, &format!("it ended with {status:?}"))),
        Ok(Err(failure)) => Err(failure),
        Err(_late) => Err(failed(what, "the guest does not answer")),
    }
}

async fn run(
    vm: &str,
    what: &str,
    exec: &Exec,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    context: &Context,
) -> Result<ExitStatus, Failure> {
    let stream = context
        .session
        .change(|client| async move { client.vm_exec(vm, exec).await })
        .await?;
    // The other half stays open: its end would tell the guest that we are gone.
    let (from, _to) = tokio::io::split(stream);
    let mut frames = FrameReader::new(from);
    loop {
        match frames.next().await {
            Ok(Some(Frame::Stdout(bytes) | Frame::Stderr(bytes))) => take(&bytes)?,
            Ok(Some(Frame::Started { .. })) => {}
            Ok(Some(Frame::Exit(status))) => return Ok(status),
            Ok(Some(Frame::Failed(failure))) => return Err(failed(what, &failure.message)),
            Ok(Some(_)) => {
                return Err(failed(
                    what,
                    "the guest sends frames that have no place here",
                ));
            }
            Ok(None) => return Err(failed(what, "the stream ended")),
            Err(error) => return Err(failed(what, &chain(&error))),
        }
    }
}

fn failed(what: &str, why: &str) -> Failure {
    ApiError::new(ErrorCode::GuestFailed, format!("{what}: {why}")).into()
}
