//! A running command and its call.
//!
//! ```text
//!  host ─ frames ─► feed ─ queue ─► standard input          signals and sizes go past the queue as far as it has room
//!  host ◄ frames ─ drain ◄───────── output, error output, then the exit
//! ```
//!
//! The host keeps its direction of the call open until it has seen the exit: its end before that means that whoever
//! asked is gone, and then the process group gets `SIGHUP`, and after [`GRACE`] `SIGKILL`.
//!
//! The exit is sent after the output. A pipe that something else still holds open after the command ended (a daemon
//! that it started) is read until nothing came for [`IDLE`], and for at most [`AFTER_EXIT`] bytes.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus as ProcessStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use banger_guest::wire::frame::{self, Frame, FrameReader};
use banger_guest::{ExecFailure, ExecFailureKind, ExecRequest, ExitStatus};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::process::Child;
use tokio::sync::mpsc;

use super::call::running;
use super::command::{self, Input, Output, Running};
use super::session::CallIo;
use super::terminal::Terminal;
use crate::guest::Guest;
use crate::sys;

/// Between `SIGHUP` and `SIGKILL` for a command whose host is gone.
const GRACE: Duration = Duration::from_millis(500);
/// Silence after which output behind the exit is over.
const IDLE: Duration = Duration::from_millis(100);
/// Bytes of output behind the exit: more than pipes hold, so all that the command wrote is among them.
const AFTER_EXIT: usize = 4 * 1024 * 1024;
/// Bytes of output in one frame.
const PIECE: usize = 32 * 1024;
/// Pieces of input that wait for the command.
const INPUT_QUEUE: usize = 16;
/// How often a host that is not heard, because its input waits for the command, is checked on.
const PROBE: Duration = Duration::from_secs(1);

/// Runs a command for a call.
pub(super) async fn run(io: CallIo, request: ExecRequest, guest: &Arc<Guest>) {
    let (from, mut to) = tokio::io::split(io);
    let started = match running(guest) {
        Ok(()) => command::start(&request, guest),
        Err(failure) => Err(ExecFailure {
            kind: ExecFailureKind::Other,
            message: failure.message,
        }),
    };
    match started {
        Ok(running) => supervise(from, to, running).await,
        Err(failure) => {
            let _ = frame::write(&mut to, &Frame::Failed(failure)).await;
            let _ = to.shutdown().await;
        }
    }
}

async fn supervise(from: ReadHalf<CallIo>, mut to: WriteHalf<CallIo>, running: Running) {
    let Running {
        mut child,
        stdin,
        stdout,
        stderr,
        terminal,
    } = running;
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let deaf = AtomicBool::new(false);
    let finished = {
        let fed = feed(FrameReader::new(from), stdin, terminal, pid, &deaf);
        tokio::pin!(fed);
        let drained = drain(&mut to, &mut child, pid, (stdout, stderr), &deaf);
        tokio::pin!(drained);
        tokio::select! {
            biased;
            drained = &mut drained => drained.is_ok(),
            () = &mut fed => false,
        }
    };
    if finished {
        let _ = to.shutdown().await;
    } else {
        end(&mut child, pid).await;
    }
}

/// Ends what a lost host started.
async fn end(child: &mut Child, pid: Option<Pid>) {
    let Some(pid) = pid else { return };
    // The group may be gone already.
    let _ = kill_process_group(pid, Signal::HUP);
    let _ = kill_process_group(pid, Signal::CONT);
    let _ = tokio::time::timeout(GRACE, child.wait()).await;
    let _ = kill_process_group(pid, Signal::KILL);
    let _ = child.wait().await;
}

/// Takes the host's frames until it ends or breaks the rules. Runs for as long as the command.
async fn feed(
    mut frames: FrameReader<ReadHalf<CallIo>>,
    stdin: Option<Input>,
    terminal: Option<Terminal>,
    pid: Option<Pid>,
    deaf: &AtomicBool,
) {
    let (queue, pieces) = mpsc::channel(INPUT_QUEUE);
    let mut queue = stdin.is_some().then_some(queue);
    let writing = write_input(stdin, pieces);
    let reading = async {
        while let Ok(Some(frame)) = frames.next().await {
            match frame {
                Frame::Stdin(bytes) => {
                    if let Some(queue) = &queue {
                        // A command that does not read its input any more is no reason to stop listening.
                        deaf.store(queue.capacity() == 0, Ordering::Relaxed);
                        let _ = queue.send(bytes).await;
                        deaf.store(false, Ordering::Relaxed);
                    }
                }
                Frame::StdinEof => queue = None,
                Frame::Resize { rows, cols } => {
                    if let Some(terminal) = &terminal {
                        let _ = terminal.resize(rows, cols);
                    }
                }
                Frame::Signal(number) => {
                    if let (Some(pid), Some(signal)) = (pid, sys::signal(number)) {
                        let _ = kill_process_group(pid, signal);
                    }
                }
                _ => return,
            }
        }
    };
    tokio::pin!(reading);
    tokio::pin!(writing);
    tokio::select! {
        () = &mut reading => return,
        () = &mut writing => {}
    }
    reading.await;
}

/// Writes input until the host said that there is no more, then closes it. A terminal stays open: its end is the
/// command's own affair, and the host sends the end-of-file character.
async fn write_input(stdin: Option<Input>, mut pieces: mpsc::Receiver<Bytes>) {
    let Some(mut stdin) = stdin else { return };
    while let Some(bytes) = pieces.recv().await {
        if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Sends the command's output, then its exit. An error means that the host is gone.
pub(super) async fn drain(
    to: &mut (impl AsyncWrite + Unpin),
    child: &mut Child,
    pid: Option<Pid>,
    (stdout, stderr): (Option<Output>, Option<Output>),
    deaf: &AtomicBool,
) -> Result<(), frame::FrameError> {
    let pid = pid.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    frame::write(to, &Frame::Started { pid }).await?;
    let mut pipes = Pipes {
        stdout,
        stderr,
        out: vec![0; PIECE],
        err: vec![0; PIECE],
    };
    let mut probe = tokio::time::interval(PROBE);
    let status = loop {
        tokio::select! {
            biased;
            status = child.wait() => break status,
            frame = pipes.next(), if pipes.open() => if let Some(frame) = frame {
                frame::write(to, &frame).await?;
            },
            // While nobody listens, only writing tells whether the host has dropped the call.
            _ = probe.tick() => if deaf.load(Ordering::Relaxed) {
                frame::write(to, &Frame::Stdout(Bytes::new())).await?;
            },
        }
    };
    let mut left = AFTER_EXIT;
    while pipes.open() && left > 0 {
        match tokio::time::timeout(IDLE, pipes.next()).await {
            Ok(Some(frame)) => {
                if let Frame::Stdout(bytes) | Frame::Stderr(bytes) = &frame {
                    left = left.saturating_sub(bytes.len());
                }
                frame::write(to, &frame).await?;
            }
            Ok(None) => {}
            Err(_idle) => break,
        }
    }
    let last = match status {
        Ok(status) => Frame::Exit(exit_status(status)),
        Err(error) => Frame::Failed(ExecFailure {
            kind: ExecFailureKind::Other,
            message: format!("cannot wait for the command: {error}"),
        }),
    };
    frame::write(to, &last).await
}

/// The open output pipes of a command.
struct Pipes {
    stdout: Option<Output>,
    stderr: Option<Output>,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Pipes {
    fn open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// The next piece of output; `None` when a pipe ended. May be dropped and called again.
    async fn next(&mut self) -> Option<Frame> {
        let Self {
            stdout,
            stderr,
            out,
            err,
        } = self;
        tokio::select! {
            read = read(stdout.as_mut(), out), if stdout.is_some() => {
                if read == 0 { *stdout = None; return None; }
                Some(Frame::Stdout(Bytes::copy_from_slice(&out[..read])))
            }
            read = read(stderr.as_mut(), err), if stderr.is_some() => {
                if read == 0 { *stderr = None; return None; }
                Some(Frame::Stderr(Bytes::copy_from_slice(&err[..read])))
            }
            else => None,
        }
    }
}

/// Bytes read; 0 at the end, which an error is too.
async fn read(pipe: Option<&mut Output>, into: &mut [u8]) -> usize {
    match pipe {
        Some(pipe) => pipe.read(into).await.unwrap_or(0),
        None => 0,
    }
}

fn exit_status(status: ProcessStatus) -> ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        // waitpid(2) reports stops only when asked to.
        (None, None) => ExitStatus::Code(status.into_raw()),
    }
}
