//! A command in a guest that is not the user's own: its output is beside the data, or for us.

use std::time::Duration;

use banger_api::vm::Exec;
use banger_api::{ApiError, ErrorCode};
use banger_client::Upgraded;
use banger_guest::ExitStatus;
use banger_guest::wire::frame::{Frame, FrameReader};

use bytes::Bytes;
use tokio::io::{ReadHalf, WriteHalf};

use crate::attach::output::Writer;
use crate::context::Context;
use crate::failure::{Failure, chain};

/// Of output that is not shown, in bytes, what is kept to be told when the command fails.
const KEPT: usize = 2000;
/// Largest answer to a question, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// How long an answer may take: a shell in an emulated guest that is busy.
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
    let mut frames = Frames::open(vm, what, exec, context).await?;
    let ended = loop {
        let bytes = match frames.next().await? {
            Heard::Output(bytes) => bytes,
            Heard::End(status) => break status,
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
        let mut frames = Frames::open(vm, what, exec, context).await?;
        loop {
            match frames.next().await? {
                Heard::Output(bytes) => answer.extend_from_slice(&bytes),
                Heard::End(ExitStatus::Code(0)) => return Ok(answer),
                Heard::End(status) => {
                    return Err(failed(what, &format!("it ended with {status:?}")));
                }
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

/// What is heard of a command.
enum Heard {
    Output(Bytes),
    End(ExitStatus),
}

/// A command that runs. Dropping it ends the command.
struct Frames<'a> {
    what: &'a str,
    frames: FrameReader<ReadHalf<Upgraded>>,
    /// Stays open: its end tells the guest that we are gone.
    _to: WriteHalf<Upgraded>,
}

impl<'a> Frames<'a> {
    async fn open(
        vm: &str,
        what: &'a str,
        exec: &Exec,
        context: &Context,
    ) -> Result<Self, Failure> {
        let stream = context
            .session
            .change(|client| async move { client.vm_exec(vm, exec).await })
            .await?;
        let (from, to) = tokio::io::split(stream);
        Ok(Self {
            what,
            frames: FrameReader::new(from),
            _to: to,
        })
    }

    async fn next(&mut self) -> Result<Heard, Failure> {
        let why = loop {
            break match self.frames.next().await {
                Ok(Some(Frame::Stdout(bytes) | Frame::Stderr(bytes))) => {
                    return Ok(Heard::Output(bytes));
                }
                Ok(Some(Frame::Exit(status))) => return Ok(Heard::End(status)),
                Ok(Some(Frame::Started { .. })) => continue,
                Ok(Some(Frame::Failed(failure))) => failure.message,
                Ok(Some(_)) => "the guest sends frames that have no place here".to_owned(),
                Ok(None) => "the stream ended".to_owned(),
                Err(error) => chain(&error),
            };
        };
        Err(failed(self.what, &why))
    }
}

fn failed(what: &str, why: &str) -> Failure {
    ApiError::new(ErrorCode::GuestFailed, format!("{what}: {why}")).into()
}
