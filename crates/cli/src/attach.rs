//! A guest command at the user's standard streams.
//!
//! ```text
//! stdin ──thread──► chunks ─┐                        ┌─► Stdout, Stderr ──thread──► stdout, stderr
//! signals ────────► signal ─┼─► ExecInput ══ guest ══ Source
//! SIGWINCH ───────► resize ─┘                        ├─► StdinTaken ──► stdin, SignalTaken ──► leaving
//!                                                    └─► Ended ──► the end
//! ```
//!
//! The two directions do not wait for each other: a guest that does not read cannot stop its own output, and an output
//! that nobody takes cannot stop Ctrl-C. Standard input is read by a thread that nothing waits for, so that it never
//! keeps the process alive, and the terminal never becomes non-blocking for the shell that comes after us.

pub mod input;
mod leaving;
pub mod output;
mod overtime;
mod peek;

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use banger_api::vm::Exec;
use banger_api::{ApiError, ErrorCode};
use banger_client::{ExecError, ExecEvent, ExecEvents, ExecInput, Started, Upgraded};
use banger_guest::wire::frame::FrameError;
use banger_guest::{ExecFailureKind, ExitStatus};
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, watch};

use self::input::{CountedInput, Taken};
use self::leaving::{Leaving, leave};
use self::output::Sink;
use self::overtime::overtime;
use crate::failure::{Failure, chain, host_error};
use crate::signals::{Interrupts, TerminalChanges};
use crate::terminal::{self, RawMode};

/// Exit codes with which shells tell that a command was not found, or may not be run (POSIX, Shell Command Language).
const NOT_FOUND_EXIT: u8 = 127;
const NOT_EXECUTABLE_EXIT: u8 = 126;
/// Exit code of a command that has had its time (timeout(1)).
pub const TIMED_OUT_EXIT: u8 = 124;

/// Ways to attach.
#[derive(Debug, Clone, Copy)]
pub struct Attach {
    /// The command has a terminal in the guest, and ours is its other end: it becomes raw and tells its size.
    pub terminal: bool,
    /// Standard input is sent.
    pub stdin: bool,
    /// An interrupt leaves the command alone at once: it goes on without us.
    pub leave: bool,
    /// The agent reports what the command reads and which signals reached it.
    pub reports: bool,
    /// The command has so much time.
    pub timeout: Option<Duration>,
}

impl Attach {
    /// To a command that has started.
    pub fn to(exec: &Exec, started: Started) -> Self {
        Self {
            terminal: exec.terminal.is_some(),
            stdin: exec.stdin,
            leave: false,
            reports: started.reports,
            timeout: exec.timeout_ms.map(Duration::from_millis),
        }
    }
}

/// Stream of a command.
pub trait Source {
    /// Next event of a command.
    async fn next(&mut self) -> Result<ExecEvent, Failure>;
}

impl<T: Source> Source for &mut T {
    async fn next(&mut self) -> Result<ExecEvent, Failure> {
        T::next(self).await
    }
}

impl Source for ExecEvents<Upgraded> {
    async fn next(&mut self) -> Result<ExecEvent, Failure> {
        Self::next(self).await.map_err(|error| failure(&error))
    }
}

/// End of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandEnd {
    /// As the guest told it.
    pub status: ExitStatus,
    /// It had had its time.
    pub timed_out: bool,
}

impl CommandEnd {
    /// The exit code for a shell: the command's own, 128 + n for signal n, 124 when its time was up.
    pub fn code(self) -> u8 {
        match self.status {
            _ if self.timed_out => TIMED_OUT_EXIT,
            // Exit codes have 8 bits (exit(3)); so has what a shell makes of a signal.
            ExitStatus::Code(code) => code.to_le_bytes()[0],
            ExitStatus::Signal(signal) => 128 | signal.to_le_bytes()[0],
        }
    }
}

/// Moves bytes until the guest command ends.
///
/// # Errors
/// The connection broke, the user left, or standard output is gone.
pub async fn attach(
    mut source: impl Source,
    to: Option<ExecInput<impl AsyncWrite>>,
    how: Attach,
    interrupts: Interrupts,
    sink: &mut Sink,
) -> Result<CommandEnd, Failure> {
    let raw = match how.terminal {
        true => {
            RawMode::enter().map_err(|source| host_error("cannot set up the terminal", &source))?
        }
        false => None,
    };
    let changes = match how.terminal {
        true => Some(
            TerminalChanges::install()
                .map_err(|source| host_error("cannot install signal handlers", &source))?,
        ),
        false => None,
    };
    let mut stdin = match (how.stdin, how.reports) {
        (false, _) => Stdin::None,
        (true, false) => Stdin::Free(input::start()?),
        (true, true) => Stdin::Counted(CountedInput::start()?),
    };
    let (signals, signalled) = mpsc::unbounded_channel();
    let (told, heard) = watch::channel(());
    let timed_out = Cell::new(false);
    let telling = Telling {
        taken: stdin.taken(),
        reports: how.reports,
        told,
        timed_out: &timed_out,
    };
    let leaving = Leaving {
        at_once: how.leave,
        terminal: how.terminal,
    };
    let mut after = interrupts.clone();
    let ended = tokio::select! {
        ended = receive(&mut source, sink, &telling) => ended,
        never = send(to, &mut stdin, signalled, changes, raw.as_ref()) => match never {},
        failure = leave(leaving, interrupts, &signals, heard) => Err(failure),
        failure = overtime(how, &signals, &timed_out) => Err(failure),
    };
    drop(raw);
    stdin.finish().await;
    // What came before the end went to the guest command; it is not also a wish to leave.
    after.forget_past();
    let ended = ended?;
    tokio::select! {
        written = sink.finish() => written.and(ended),
        by = after.next() => {
            Err(Failure::interrupted_by(by, "interrupted while output was still to be written"))
        }
    }
}

/// Standard input on its way to the command.
enum Stdin {
    /// None is sent, or no more.
    None,
    /// As it comes.
    Free(mpsc::Receiver<Bytes>),
    /// No more than the command reads.
    Counted(CountedInput),
}

impl Stdin {
    fn taken(&self) -> Option<Taken> {
        match self {
            Self::Counted(input) => Some(input.taken()),
            Self::None | Self::Free(_) => None,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::Free(chunks) => chunks.recv().await,
            Self::Counted(input) => input.chunks.recv().await,
        }
    }

    async fn finish(self) {
        if let Self::Counted(input) = self {
            input.finish().await;
        }
    }
}

/// Receivers of the reports of a command.
struct Telling<'a> {
    taken: Option<Taken>,
    reports: bool,
    told: watch::Sender<()>,
    timed_out: &'a Cell<bool>,
}

/// Takes what is heard to the command's end. The outer error is that of our own output.
async fn receive(
    source: &mut impl Source,
    sink: &mut Sink,
    telling: &Telling<'_>,
) -> Result<Result<CommandEnd, Failure>, Failure> {
    loop {
        let event = match source.next().await {
            Ok(event) => event,
            Err(failure) => return Ok(Err(failure)),
        };
        // An agent that acknowledges nothing is alive when it says anything.
        if !telling.reports {
            telling.told.send_replace(());
        }
        match event {
            ExecEvent::Stdout(bytes) => sink.stdout(bytes).await?,
            ExecEvent::Stderr(bytes) => sink.stderr(bytes).await?,
            ExecEvent::StdinTaken(bytes) => {
                if let Some(taken) = &telling.taken {
                    taken.set(bytes);
                }
            }
            ExecEvent::SignalTaken(_) => telling.told.send_replace(()),
            ExecEvent::TimedOut => telling.timed_out.set(true),
            ExecEvent::Ended(status) => {
                let timed_out = telling.timed_out.get();
                return Ok(Ok(CommandEnd { status, timed_out }));
            }
        }
    }
}

/// Message on a command that did not start, or is not heard any more.
pub fn failure(error: &ExecError) -> Failure {
    let lost = |code| {
        ApiError::new(code, chain(error)).hint(
            "banger ps tells whether the VM still runs, banger logs NAME what its console said",
        )
    };
    match error {
        ExecError::NotStarted(refused) => {
            let error = ApiError::new(ErrorCode::GuestFailed, &refused.message);
            match refused.kind {
                ExecFailureKind::NotFound => Failure::with_exit(error, NOT_FOUND_EXIT),
                ExecFailureKind::Permission => Failure::with_exit(error, NOT_EXECUTABLE_EXIT),
                ExecFailureKind::Cwd | ExecFailureKind::User | ExecFailureKind::Other => {
                    error.into()
                }
            }
        }
        ExecError::Late { .. } => lost(ErrorCode::GuestUnreachable).into(),
        ExecError::Unexpected(_) | ExecError::Cut | ExecError::Broken(_) => {
            lost(ErrorCode::GuestFailed).into()
        }
    }
}

/// Never ends: what cannot be sent any more is told by the other direction.
async fn send(
    to: Option<ExecInput<impl AsyncWrite>>,
    stdin: &mut Stdin,
    mut signals: mpsc::UnboundedReceiver<u8>,
    mut changes: Option<TerminalChanges>,
    raw: Option<&RawMode>,
) -> Infallible {
    let Some(mut to) = to else {
        return std::future::pending().await;
    };
    let mut open = !matches!(stdin, Stdin::None);
    loop {
        let sent = tokio::select! {
            chunk = stdin.next(), if open => match chunk {
                Some(chunk) => to.stdin(chunk).await,
                None => {
                    open = false;
                    to.stdin_end().await
                }
            },
            Some(signal) = signals.recv() => to.signal(signal).await,
            () = next_change(&mut changes) => {
                // Where it does not become raw again, the user sees what they type; the command goes on.
                let _ = raw.map(RawMode::again);
                let size = terminal::size();
                to.resize(size.rows, size.cols).await
            }
        };
        if let Err(FrameError::Io(_)) = sent {
            return std::future::pending().await;
        }
    }
}

async fn next_change(changes: &mut Option<TerminalChanges>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}
