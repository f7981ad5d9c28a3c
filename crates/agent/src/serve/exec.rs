//! A running command and its call.
//!
//! ```text
//!  host ─ frames ─► feed ─ queue ─► standard input          signals and sizes go past the queue
//!                     └─ signals that arrived ─┐
//!  host ◄ frames ─ drain ◄───────── output, error output, reports, then the exit
//! ```
//!
//! The host keeps its direction of the call open until it has seen the exit: its end before that means that whoever
//! asked is gone, and then the process group gets `SIGHUP`, and after [`GRACE`] `SIGKILL`, with all of the command's control
//! group. On a terminal that is as when a line is hung up: jobs that were made to survive it (nohup(1), setsid(1)) do.
//! Processes that a command leaves behind when it ends by itself live on, as they do after a login.
//!
//! A host that understands reports is told of each signal that arrived, and sends no more input than it was told is taken
//! (`STDIN_WINDOW` beyond that). From an older one input is taken as far as the queue has room: until then it is not
//! heard.
//!
//! The exit is sent after the output. A pipe that something else still holds open after the command ended (a daemon
//! that it started) is read until nothing came for [`IDLE`], and for at most [`AFTER_EXIT`] bytes.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus as ProcessStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use banger_guest::limits::{STDIN_WINDOW, TIMEOUT_GRACE};
use banger_guest::wire::frame::{self, Frame, FrameError, FrameReader};
use banger_guest::{ExecFailure, ExecFailureKind, ExecRequest, ExitStatus};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command::{self, Output, Running};
use super::counted_input::CountedInput;
use super::family::Family;
use super::reply::CallIo;
use super::reply::running;
use super::terminal::Terminal;
use crate::cgroup::CommandGroup;
use crate::guest_state::Guest;
use crate::sys;

/// Between `SIGHUP` and `SIGKILL` for a command whose host is gone.
const GRACE: Duration = Duration::from_millis(500);
/// Between two `SIGKILL`s for what goes on starting processes, and two looks whether they are gone.
const AGAIN: Duration = Duration::from_millis(50);
/// Silence after which output behind the exit is over.
const IDLE: Duration = Duration::from_millis(100);
/// Bytes of output behind the exit: more than pipes hold, so all that the command wrote is among them.
const AFTER_EXIT: usize = 4 * 1024 * 1024;
/// Bytes of output in one frame.
const PIECE: usize = 32 * 1024;
/// Pieces of input that wait for the command, from a host that understands no reports.
const INPUT_QUEUE: usize = 16;
/// Time between two checks of a host that is not heard, because its input waits for the command.
const PROBE: Duration = Duration::from_secs(1);

/// Runs a command for a call.
pub(super) async fn run(io: CallIo, request: ExecRequest, guest: &Arc<Guest>) {
    let (from, mut to) = tokio::io::split(io);
    // The first report says that there are reports.
    if request.reports && frame::write(&mut to, &Frame::StdinTaken(0)).await.is_err() {
        return;
    }
    let started = match running(guest) {
        Ok(()) => command::start(&request, guest),
        Err(failure) => Err(ExecFailure {
            kind: ExecFailureKind::Other,
            message: failure.message,
        }),
    };
    match started {
        Ok(running) => supervise(from, to, running, &request).await,
        Err(failure) => {
            let _ = frame::write(&mut to, &Frame::Failed(failure)).await;
            let _ = to.shutdown().await;
        }
    }
}

async fn supervise(
    from: ReadHalf<CallIo>,
    mut to: WriteHalf<CallIo>,
    running: Running,
    request: &ExecRequest,
) {
    let Running {
        mut child,
        stdin,
        unread,
        stdout,
        stderr,
        terminal,
        group,
    } = running;
    let on_terminal = terminal.is_some();
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let input = CountedInput::new(unread);
    let deaf = AtomicBool::new(false);
    let (signalled, signals) = mpsc::unbounded_channel();
    // No piece is empty, so that a host which keeps to the window never waits.
    let (queue, pieces) = mpsc::channel(match request.reports {
        true => STDIN_WINDOW,
        false => INPUT_QUEUE,
    });
    let finished = {
        let feeding = Feeding {
            queue: stdin.is_some().then_some(queue),
            terminal,
            pid,
            group: group.as_ref(),
            deaf: &deaf,
            signalled,
        };
        let fed = async {
            let writing = input.write(stdin, pieces);
            let reading = feeding.take(FrameReader::new(from));
            tokio::pin!(reading);
            tokio::pin!(writing);
            tokio::select! {
                () = &mut reading => return,
                () = &mut writing => {}
            }
            reading.await;
        };
        tokio::pin!(fed);
        let draining = Draining {
            pid,
            group: group.as_ref(),
            output: (stdout, stderr),
            deaf: &deaf,
            timeout: request.timeout_ms.map(Duration::from_millis),
            reports: request.reports.then_some(Reports {
                input: &input,
                told: 0,
                signals,
            }),
        };
        let drained = draining.drain(&mut to, &mut child);
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
        end(&mut child, pid, group.as_ref().filter(|_| !on_terminal)).await;
    }
}

/// Ends what a lost host started, with all of `group`.
async fn end(child: &mut Child, pid: Option<Pid>, group: Option<&CommandGroup>) {
    let Some(pid) = pid else { return };
    // The group may be gone already.
    let _ = kill_process_group(pid, Signal::HUP);
    let _ = kill_process_group(pid, Signal::CONT);
    let _ = tokio::time::timeout(GRACE, child.wait()).await;
    let _ = kill_process_group(pid, Signal::KILL);
    if let Some(group) = group {
        // A kernel that cannot has ended the process group all the same.
        let _ = group.kill();
    }
    let _ = child.wait().await;
}

/// Targets of the host's frames.
struct Feeding<'a> {
    queue: Option<mpsc::Sender<Bytes>>,
    terminal: Option<Terminal>,
    pid: Option<Pid>,
    group: Option<&'a CommandGroup>,
    deaf: &'a AtomicBool,
    signalled: mpsc::UnboundedSender<u8>,
}

impl Feeding<'_> {
    /// Takes the host's frames until it ends or breaks the rules. Runs for as long as the command.
    async fn take(mut self, mut frames: FrameReader<ReadHalf<CallIo>>) {
        while let Ok(Some(frame)) = frames.next().await {
            match frame {
                Frame::Stdin(bytes) if bytes.is_empty() => {}
                Frame::Stdin(bytes) => {
                    if let Some(queue) = &self.queue {
                        // A command that does not read its input any more is no reason to stop listening.
                        self.deaf.store(queue.capacity() == 0, Ordering::Relaxed);
                        let _ = queue.send(bytes).await;
                        self.deaf.store(false, Ordering::Relaxed);
                    }
                }
                Frame::StdinEof => self.queue = None,
                Frame::Resize { rows, cols } => {
                    if let Some(terminal) = &self.terminal {
                        let _ = terminal.resize(rows, cols);
                    }
                }
                Frame::Signal(number) => {
                    if let (Some(pid), Some(signal)) = (self.pid, sys::signal(number)) {
                        let _ = kill_process_group(pid, signal);
                        if signal == Signal::KILL && self.terminal.is_none() {
                            let _ = self.group.is_some_and(CommandGroup::kill);
                        }
                    }
                    // Whoever reports may have ended.
                    let _ = self.signalled.send(number);
                }
                _ => return,
            }
        }
    }
}

/// Output of a command, on its way to the host.
pub(super) struct Draining<'a> {
    pub(super) pid: Option<Pid>,
    pub(super) group: Option<&'a CommandGroup>,
    pub(super) output: (Option<Output>, Option<Output>),
    pub(super) deaf: &'a AtomicBool,
    pub(super) timeout: Option<Duration>,
    pub(super) reports: Option<Reports<'a>>,
}

/// Reports of a command to the host, beside its output.
pub(super) struct Reports<'a> {
    input: &'a CountedInput,
    told: u64,
    signals: mpsc::UnboundedReceiver<u8>,
}

impl Reports<'_> {
    async fn next(&mut self) -> Frame {
        tokio::select! {
            taken = self.input.more_than(self.told) => {
                self.told = taken;
                Frame::StdinTaken(taken)
            }
            Some(signal) = self.signals.recv() => Frame::SignalTaken(signal),
        }
    }
}

async fn next_report(reports: &mut Option<Reports<'_>>) -> Frame {
    match reports {
        Some(reports) => reports.next().await,
        None => std::future::pending().await,
    }
}

impl Draining<'_> {
    /// Sends the command's output, then its exit. An error means that the host is gone.
    pub(super) async fn drain(
        mut self,
        to: &mut (impl AsyncWrite + Unpin),
        child: &mut Child,
    ) -> Result<(), FrameError> {
        let raw = self
            .pid
            .map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
        frame::write(to, &Frame::Started { pid: raw }).await?;
        let mut time = Time::of(self.timeout, self.pid, self.group);
        let mut pipes = Pipes {
            stdout: self.output.0.take(),
            stderr: self.output.1.take(),
            out: vec![0; PIECE],
            err: vec![0; PIECE],
        };
        let mut probe = tokio::time::interval(PROBE);
        let status = loop {
            tokio::select! {
                biased;
                status = child.wait() => break status,
                first = time.up() => if first && self.reports.is_some() {
                    frame::write(to, &Frame::TimedOut).await?;
                },
                report = next_report(&mut self.reports) => frame::write(to, &report).await?,
                frame = pipes.next(), if pipes.open() => if let Some(frame) = frame {
                    frame::write(to, &frame).await?;
                },
                // While nobody listens, only writing tells whether the host has dropped the call.
                _ = probe.tick() => if self.deaf.load(Ordering::Relaxed) {
                    frame::write(to, &Frame::Stdout(Bytes::new())).await?;
                },
            }
        };
        time.end_the_rest().await;
        pipes.rest(to).await?;
        if let Some(reports) = &self.reports {
            let taken = reports.input.taken();
            if taken > reports.told {
                frame::write(to, &Frame::StdinTaken(taken)).await?;
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
}

/// The time that a command has: behind it the command and what it has started get `SIGTERM`, then `SIGKILL`.
struct Time<'a> {
    next: Option<Instant>,
    family: Option<Family<'a>>,
    is_up: bool,
}

impl<'a> Time<'a> {
    fn of(timeout: Option<Duration>, pid: Option<Pid>, group: Option<&'a CommandGroup>) -> Self {
        let next = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self {
            next,
            family: pid.map(|pid| Family::of(pid, group)),
            is_up: false,
        }
    }

    /// Waits until something is to be done, and does it; answers whether that was for the first time.
    async fn up(&mut self) -> bool {
        let (Some(next), Some(family)) = (self.next, &mut self.family) else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(next).await;
        let first = !std::mem::replace(&mut self.is_up, true);
        if first {
            family.signal(Signal::TERM);
            family.signal(Signal::CONT);
            self.next = Some(Instant::now() + TIMEOUT_GRACE);
        } else {
            family.signal(Signal::KILL);
            self.next = Some(Instant::now() + AGAIN);
        }
        first
    }

    /// A command that has had its time takes what it has started with it.
    async fn end_the_rest(&mut self) {
        let Some(family) = self.family.as_mut().filter(|_| self.is_up) else {
            return;
        };
        let kill = self.next.unwrap_or_else(Instant::now);
        while !family.is_gone() {
            if Instant::now() >= kill {
                family.signal(Signal::KILL);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
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

    /// Sends what is still in them after the command's end.
    async fn rest(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), FrameError> {
        let mut left = AFTER_EXIT;
        while self.open() && left > 0 {
            match tokio::time::timeout(IDLE, self.next()).await {
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
        Ok(())
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
