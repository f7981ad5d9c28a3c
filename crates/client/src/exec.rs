//! A command in a guest: its events, and its input.
//!
//! ```text
//! Client::exec ──► ExecSession ── started() ──► Started or an error, within START_DEADLINE
//!                       │ next() ──► Stdout │ Stderr │ StdinTaken │ SignalTaken │ TimedOut … Ended
//!                       └ split() ──► ExecEvents, and ExecInput: stdin, stdin_end, signal, resize
//! ```
//!
//! Dropping a session ends its command. A frame out of place ends the session with an error; a guest's data is bounded
//! by the frame, and a caller that collects frames sets a limit of its own.

use std::time::Duration;

use banger_api::routes::{self, fill};
use banger_api::vm::Exec;
use banger_guest::wire::frame::{self, Frame, FrameError, FrameReader};
use banger_guest::{ExecFailure, ExitStatus};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

use crate::client::Client;
use crate::error::ClientError;
use crate::limits::START_DEADLINE;
use crate::transport::Upgraded;

/// A command that runs or is about to. Dropping it ends the command.
#[derive(Debug)]
pub struct ExecSession<S = Upgraded> {
    events: ExecEvents<S>,
    /// Stays open: its end tells the guest that we are gone.
    input: ExecInput<S>,
}

/// Events of a command.
#[derive(Debug)]
pub struct ExecEvents<S = Upgraded> {
    frames: FrameReader<ReadHalf<S>>,
    /// Read while the start was waited for.
    pending: Option<Frame>,
}

/// Input of a command. Its end tells the guest that we are gone.
#[derive(Debug)]
pub struct ExecInput<S = Upgraded> {
    to: WriteHalf<S>,
}

/// The command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// True when the agent reports consumed input and delivered signals; an older agent does not.
    pub reports: bool,
}

/// One event of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// Output.
    Stdout(Bytes),
    /// Error output.
    Stderr(Bytes),
    /// Bytes of standard input that it has read, in all.
    StdinTaken(u64),
    /// This signal reached it.
    SignalTaken(u8),
    /// It has had its time and is being ended.
    TimedOut,
    /// It ended; all its output has come.
    Ended(ExitStatus),
}

/// A command did not start, or its events stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The guest refused, and says why.
    #[error("{}", .0.message)]
    NotStarted(ExecFailure),
    /// The guest did not answer.
    #[error("its guest did not answer within {} s", after.as_secs())]
    Late {
        /// The deadline.
        after: Duration,
    },
    /// The guest sent a frame that has no place here.
    #[error("lost the guest command: an unexpected frame: {0}")]
    Unexpected(&'static str),
    /// The stream ended before the command.
    #[error("lost the guest command: the stream ended")]
    Cut,
    /// The stream broke.
    #[error("lost the guest command")]
    Broken(#[source] FrameError),
}

impl Client {
    /// Runs a command in a guest. Its agent reports the input that the command reads and the signals that reached it.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn exec(&self, reference: &str, exec: &Exec) -> Result<ExecSession, ClientError> {
        let route = fill(routes::VM_EXEC, reference);
        let call = self.post(format!("{route}?reports=true")).json(exec)?;
        Ok(ExecSession::over(call.upgraded().await?))
    }
}

impl<S: AsyncRead + AsyncWrite> ExecSession<S> {
    /// Over a stream of a guest's frames.
    pub fn over(stream: S) -> Self {
        let (from, to) = tokio::io::split(stream);
        Self {
            events: ExecEvents {
                frames: FrameReader::new(from),
                pending: None,
            },
            input: ExecInput { to },
        }
    }

    /// Waits until the command runs.
    ///
    /// # Errors
    /// It does not, or nothing is heard of it within [`START_DEADLINE`].
    pub async fn started(&mut self) -> Result<Started, ExecError> {
        let started = tokio::time::timeout(START_DEADLINE, self.events.started());
        let late = ExecError::Late {
            after: START_DEADLINE,
        };
        started.await.unwrap_or(Err(late))
    }

    /// The next event. Dropping the future loses nothing. Nothing comes after [`ExecEvent::Ended`].
    ///
    /// # Errors
    /// The command did not start, or its events stopped.
    pub async fn next(&mut self) -> Result<ExecEvent, ExecError> {
        self.events.next().await
    }

    /// Both directions, to be used at the same time. The command lives as long as its input.
    pub fn split(self) -> (ExecEvents<S>, ExecInput<S>) {
        (self.events, self.input)
    }
}

impl<S: AsyncRead> ExecEvents<S> {
    async fn started(&mut self) -> Result<Started, ExecError> {
        let mut reports = false;
        loop {
            match self.frame().await? {
                Frame::StdinTaken(_) => reports = true,
                Frame::Started { .. } => return Ok(Started { reports }),
                Frame::Failed(failure) => return Err(ExecError::NotStarted(failure)),
                frame => {
                    self.pending = Some(frame);
                    return Ok(Started { reports });
                }
            }
        }
    }

    /// See [`ExecSession::next`].
    ///
    /// # Errors
    /// See [`ExecSession::next`].
    pub async fn next(&mut self) -> Result<ExecEvent, ExecError> {
        loop {
            let frame = match self.pending.take() {
                Some(frame) => frame,
                None => self.frame().await?,
            };
            return Ok(match frame {
                Frame::Stdout(bytes) => ExecEvent::Stdout(bytes),
                Frame::Stderr(bytes) => ExecEvent::Stderr(bytes),
                Frame::StdinTaken(bytes) => ExecEvent::StdinTaken(bytes),
                Frame::SignalTaken(signal) => ExecEvent::SignalTaken(signal),
                Frame::TimedOut => ExecEvent::TimedOut,
                Frame::Exit(status) => ExecEvent::Ended(status),
                Frame::Started { .. } => continue,
                Frame::Failed(failure) => return Err(ExecError::NotStarted(failure)),
                other => return Err(ExecError::Unexpected(place(&other))),
            });
        }
    }

    async fn frame(&mut self) -> Result<Frame, ExecError> {
        match self.frames.next().await {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(ExecError::Cut),
            Err(error) => Err(ExecError::Broken(error)),
        }
    }
}

/// The calls to which a frame that is out of place belongs, for the message.
fn place(frame: &Frame) -> &'static str {
    match frame {
        Frame::Data(_) | Frame::End | Frame::Done(_) | Frame::TransferFailed(_) => "of a transfer",
        _ => "of a host",
    }
}

impl<S: AsyncWrite> ExecInput<S> {
    /// Sends input; not more than a frame holds.
    ///
    /// # Errors
    /// The stream is gone: why is heard in the other direction.
    pub async fn stdin(&mut self, bytes: Bytes) -> Result<(), FrameError> {
        self.send(Frame::Stdin(bytes)).await
    }

    /// There is no more input.
    ///
    /// # Errors
    /// See [`ExecInput::stdin`].
    pub async fn stdin_end(&mut self) -> Result<(), FrameError> {
        self.send(Frame::StdinEof).await
    }

    /// Sends a signal to the command's process group.
    ///
    /// # Errors
    /// See [`ExecInput::stdin`].
    pub async fn signal(&mut self, signal: u8) -> Result<(), FrameError> {
        self.send(Frame::Signal(signal)).await
    }

    /// The terminal has another size.
    ///
    /// # Errors
    /// See [`ExecInput::stdin`].
    pub async fn resize(&mut self, rows: u16, cols: u16) -> Result<(), FrameError> {
        self.send(Frame::Resize { rows, cols }).await
    }

    async fn send(&mut self, frame: Frame) -> Result<(), FrameError> {
        frame::write(&mut self.to, &frame).await
    }
}

#[cfg(test)]
mod tests {
    use banger_guest::ExecFailureKind;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    async fn said(frames: &[Frame]) -> (ExecSession<DuplexStream>, DuplexStream) {
        let (ours, mut theirs) = duplex(64 * 1024);
        for frame in frames {
            frame::write(&mut theirs, frame).await.unwrap();
        }
        (ExecSession::over(ours), theirs)
    }

    fn is_send<T: Send>(value: T) -> T {
        value
    }

    #[tokio::test]
    async fn a_command_is_heard_from_its_start_to_its_end_on_any_thread() {
        let out = Bytes::from_static(b"out");
        let (mut session, _guest) = said(&[
            Frame::StdinTaken(0),
            Frame::Started { pid: 7 },
            Frame::Stdout(out.clone()),
            Frame::SignalTaken(2),
            Frame::Exit(ExitStatus::Code(3)),
        ])
        .await;
        let started = is_send(session.started()).await.unwrap();
        assert_eq!(started, Started { reports: true });
        let (mut events, mut input) = session.split();
        is_send(input.signal(2)).await.unwrap();
        let heard = [
            is_send(events.next()).await.unwrap(),
            events.next().await.unwrap(),
            events.next().await.unwrap(),
        ];
        assert_eq!(
            heard,
            [
                ExecEvent::Stdout(out),
                ExecEvent::SignalTaken(2),
                ExecEvent::Ended(ExitStatus::Code(3))
            ]
        );
    }

    #[tokio::test]
    async fn an_agent_that_reports_nothing_is_told_from_one_that_does() {
        let (mut session, _guest) = said(&[Frame::Started { pid: 7 }]).await;
        assert!(!session.started().await.unwrap().reports);
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_says_nothing_has_a_deadline_until_the_command_runs() {
        let (mut session, _guest) = said(&[Frame::StdinTaken(0)]).await;
        let error = session.started().await.unwrap_err();
        assert!(matches!(error, ExecError::Late { .. }), "{error}");
        assert!(error.to_string().contains("within 10 s"), "{error}");
    }

    #[tokio::test]
    async fn what_has_no_place_and_what_breaks_off_are_errors() {
        let failure = ExecFailure {
            kind: ExecFailureKind::User,
            message: "no user x".to_owned(),
        };
        let (mut session, _guest) = said(&[Frame::Failed(failure)]).await;
        let error = session.started().await.unwrap_err();
        assert_eq!(error.to_string(), "no user x");
        let (mut session, _guest) = said(&[Frame::Started { pid: 1 }, Frame::End]).await;
        session.started().await.unwrap();
        assert!(matches!(
            session.next().await,
            Err(ExecError::Unexpected("of a transfer"))
        ));
        let (mut session, guest) = said(&[]).await;
        drop(guest);
        assert!(matches!(session.started().await, Err(ExecError::Cut)));
        let (mut session, mut guest) = said(&[]).await;
        guest.write_all(&[99; 9]).await.unwrap();
        assert!(matches!(session.started().await, Err(ExecError::Broken(_))));
    }
}
