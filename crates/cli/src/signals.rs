//! Ctrl-C and its kin, seen by everything that waits.
//!
//! From the first [`Interrupts::install`] on these signals no longer end the process by themselves: whoever waits for
//! something long waits for [`Interrupts::next`] beside it, and decides.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interrupt {
    /// SIGINT: Ctrl-C.
    #[default]
    Int,
    /// SIGTERM.
    Term,
    /// SIGHUP: the terminal is gone.
    Hup,
}

impl Interrupt {
    /// The signal's number on Linux (signal(7)).
    pub fn number(self) -> u8 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Term => 15,
        }
    }

    /// The exit code of what it ends, as a shell shows it.
    pub fn exit_code(self) -> u8 {
        128 + self.number()
    }
}

impl std::fmt::Display for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Int => "SIGINT",
            Self::Term => "SIGTERM",
            Self::Hup => "SIGHUP",
        })
    }
}

/// The interrupts that this holder has not seen yet. Clones see the same ones, each on its own.
#[derive(Debug, Clone)]
pub struct Interrupts {
    latest: watch::Receiver<(u32, Interrupt)>,
}

impl Interrupts {
    /// Takes the signals over. Must be called inside a runtime.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let mut hup = signal(SignalKind::hangup())?;
        let (sender, latest) = watch::channel((0, Interrupt::Int));
        tokio::spawn(async move {
            loop {
                let interrupt = tokio::select! {
                    Some(()) = int.recv() => Interrupt::Int,
                    Some(()) = term.recv() => Interrupt::Term,
                    Some(()) = hup.recv() => Interrupt::Hup,
                    else => return,
                };
                raise(&sender, interrupt);
            }
        });
        Ok(Self { latest })
    }

    /// Interrupts that a test raises.
    #[cfg(test)]
    pub fn by_hand() -> (impl Fn(Interrupt), Self) {
        let (sender, latest) = watch::channel((0, Interrupt::Int));
        (move |interrupt| raise(&sender, interrupt), Self { latest })
    }

    /// The next interrupt. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Interrupt {
        match self.latest.changed().await {
            Ok(()) => self.latest.borrow_and_update().1,
            // The task lives as long as the runtime: nothing more will come.
            Err(_no_sender) => std::future::pending().await,
        }
    }

    /// Leaves aside what has come until now: somebody else has acted on it.
    pub fn forget_past(&mut self) {
        self.latest.mark_unchanged();
    }
}

fn raise(to: &watch::Sender<(u32, Interrupt)>, interrupt: Interrupt) {
    to.send_modify(|(count, last)| {
        *count = count.wrapping_add(1);
        *last = interrupt;
    });
}

/// SIGWINCH and SIGCONT: the terminal has another size, or is ours again.
#[derive(Debug)]
pub struct TerminalChanges {
    resized: Signal,
    resumed: Signal,
}

impl TerminalChanges {
    /// Takes the signals over. Must be called inside a runtime.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        // SIGCONT is 18 on x86 and Arm (signal(7)).
        let cont = rustix::process::Signal::CONT.as_raw();
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            resumed: signal(SignalKind::from_raw(cont))?,
        })
    }

    /// Waits for the next change. Dropping the future loses nothing.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.resized.recv() => {}
            _ = self.resumed.recv() => {}
        }
    }
}
