//! A guest command at the user's standard streams.
//!
//! ```text
//! stdin ──thread──► chunks ─┐                        ┌─► Stdout, Stderr ──thread──► stdout, stderr
//! signals ────────► Signal ─┼─► frames ══ guest ══ frames
//! SIGWINCH ───────► Resize ─┘                        └─► Exit, Failed ──► the end
//! ```
//!
//! The two directions do not wait for each other: a guest that does not read cannot stop its own output, and an output
//! that nobody takes cannot stop Ctrl-C. Standard input is read by a thread that nothing waits for, so that it never
//! keeps the process alive, and the terminal never becomes non-blocking for the shell that comes after us.

pub mod input;
pub mod output;

use std::time::Duration;

use banger_api::{ApiError, ErrorCode};
use banger_guest::wire::frame::{self, Frame, FrameError, FrameReader};
use banger_guest::{ExecFailure, ExecFailureKind, ExitStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::failure::{Failure, chain, host_error};
use crate::signals::{Interrupt, Interrupts, TerminalChanges};
use crate::terminal::{self, RawMode};

/// A second interrupt within this time after the first leaves the guest command alone.
const INSIST: Duration = Duration::from_secs(2);
/// Exit codes with which shells tell that a command was not found, or may not be run (POSIX, Shell Command Language).
const NOT_FOUND_EXIT: u8 = 127;
const NOT_EXECUTABLE_EXIT: u8 = 126;

/// How to attach.
#[derive(Debug, Clone, Copy)]
pub struct Attach {
    /// The command has a terminal in the guest: ours becomes raw and tells its size.
    pub terminal: bool,
    /// Standard input is sent.
    pub stdin: bool,
    /// An interrupt leaves the command alone at once: it goes on without us.
    pub leave: bool,
}

/// Moves bytes until the guest command ends; the exit code is the command's own, 128 + n for signal n.
///
/// # Errors
/// The command did not start, the connection broke, the user left, or standard output is gone.
pub async fn attach(
    stream: impl AsyncRead + AsyncWrite,
    how: Attach,
    interrupts: Interrupts,
) -> Result<u8, Failure> {
    let (from_guest, to_guest) = tokio::io::split(stream);
    let raw = if how.terminal {
        RawMode::enter().map_err(|source| host_error("cannot set up the terminal", &source))?
    } else {
        None
    };
    let changes = match how.terminal {
        true => Some(
            TerminalChanges::install()
                .map_err(|source| host_error("cannot install signal handlers", &source))?,
        ),
        false => None,
    };
    let (signals, signalled) = mpsc::unbounded_channel();
    let stdin = how.stdin.then(input::start).transpose()?;
    let mut leaving = interrupts.clone();
    let result = tokio::select! {
        result = receive(from_guest) => result,
        result = send(to_guest, stdin, signalled, changes, raw.as_ref()) => match result {},
        result = pass_on_interrupts(interrupts, signals, how.leave) => Err(result),
    };
    drop(raw);
    // What came before the end went to the guest command; it is not also a wish to leave.
    leaving.forget_past();
    match result {
        Ok(Ended { exit, writer }) => tokio::select! {
            written = writer.finish() => written.and(exit.and_then(Exit::into_code)),
            _ = leaving.next() => Err(Failure::interrupted("interrupted while output was still to be written")),
        },
        Err(failure) => Err(failure),
    }
}

/// How the guest command ended.
#[derive(Debug)]
enum Exit {
    Status(ExitStatus),
    NotStarted(ExecFailure),
}

/// The guest command has ended; its output may still be on its way to standard output.
struct Ended {
    exit: Result<Exit, Failure>,
    writer: output::Writer,
}

impl Exit {
    fn into_code(self) -> Result<u8, Failure> {
        match self {
            // Exit codes have 8 bits (exit(3)); so has what a shell makes of a signal.
            Self::Status(ExitStatus::Code(code)) => Ok(code.to_le_bytes()[0]),
            Self::Status(ExitStatus::Signal(signal)) => Ok(128 | signal.to_le_bytes()[0]),
            Self::NotStarted(failure) => {
                let error = ApiError::new(ErrorCode::GuestFailed, failure.message);
                Err(match failure.kind {
                    ExecFailureKind::NotFound => Failure::with_exit(error, NOT_FOUND_EXIT),
                    ExecFailureKind::Permission => Failure::with_exit(error, NOT_EXECUTABLE_EXIT),
                    ExecFailureKind::Cwd | ExecFailureKind::User | ExecFailureKind::Other => {
                        error.into()
                    }
                })
            }
        }
    }
}

async fn receive(from_guest: ReadHalf<impl AsyncRead>) -> Result<Ended, Failure> {
    let mut frames = FrameReader::new(from_guest);
    let mut writer = output::Writer::start()?;
    loop {
        let exit = match frames.next().await {
            Ok(Some(Frame::Stdout(bytes))) => {
                writer.stdout(bytes).await?;
                continue;
            }
            Ok(Some(Frame::Stderr(bytes))) => {
                writer.stderr(bytes).await?;
                continue;
            }
            Ok(Some(Frame::Started { .. })) => continue,
            Ok(Some(Frame::Exit(status))) => Ok(Exit::Status(status)),
            Ok(Some(Frame::Failed(failure))) => Ok(Exit::NotStarted(failure)),
            Ok(Some(other)) => Err(lost(&format!("an unexpected frame: {}", name(&other)))),
            Ok(None) => Err(lost("the stream ended")),
            Err(error) => Err(lost(&chain(&error))),
        };
        return Ok(Ended { exit, writer });
    }
}

fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Data(_) | Frame::End | Frame::Done(_) | Frame::TransferFailed(_) => "of a transfer",
        _ => "of a host",
    }
}

fn lost(why: &str) -> Failure {
    ApiError::new(
        ErrorCode::GuestFailed,
        format!("lost the guest command: {why}"),
    )
    .hint("banger ps tells whether the VM still runs, banger logs NAME what its console said")
    .into()
}

/// Never ends: what cannot be sent any more is told by the other direction.
async fn send(
    mut to_guest: WriteHalf<impl AsyncWrite>,
    mut stdin: Option<mpsc::Receiver<bytes::Bytes>>,
    mut signals: mpsc::UnboundedReceiver<Interrupt>,
    mut changes: Option<TerminalChanges>,
    raw: Option<&RawMode>,
) -> std::convert::Infallible {
    loop {
        let frame = tokio::select! {
            chunk = next_of(&mut stdin) => match chunk {
                Some(chunk) => Frame::Stdin(chunk),
                None => {
                    stdin = None;
                    Frame::StdinEof
                }
            },
            Some(interrupt) = signals.recv() => Frame::Signal(interrupt.number()),
            () = next_change(&mut changes) => {
                // Where it does not become raw again, the user sees what they type; the command goes on.
                let _ = raw.map(RawMode::again);
                let size = terminal::size();
                Frame::Resize { rows: size.rows, cols: size.cols }
            }
        };
        if let Err(FrameError::Io(_)) = frame::write(&mut to_guest, &frame).await {
            return std::future::pending().await;
        }
    }
}

async fn next_of(stdin: &mut Option<mpsc::Receiver<bytes::Bytes>>) -> Option<bytes::Bytes> {
    match stdin {
        Some(stdin) => stdin.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_change(changes: &mut Option<TerminalChanges>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

/// The first interrupt goes to the guest command; a second one soon after it, or the loss of the terminal, leaves.
async fn pass_on_interrupts(
    mut interrupts: Interrupts,
    signals: mpsc::UnboundedSender<Interrupt>,
    leave: bool,
) -> Failure {
    let mut last: Option<Instant> = None;
    loop {
        let interrupt = interrupts.next().await;
        if leave {
            return Failure::interrupted("left the guest command, which goes on");
        }
        if interrupt == Interrupt::Hup {
            let error = ApiError::new(ErrorCode::Cancelled, "the terminal is gone");
            return Failure::with_exit(error, 128 + Interrupt::Hup.number());
        }
        if last.is_some_and(|last| last.elapsed() < INSIST) {
            return Failure::interrupted("interrupted twice: left the guest command");
        }
        last = Some(Instant::now());
        // The receiver lives as long as this future.
        let _ = signals.send(interrupt);
    }
}
