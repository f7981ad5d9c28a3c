//! Standard input of a command, and how much of it the command has read.
//!
//! ```text
//! host ── Stdin ──► pieces ──► pipe ──► command          taken = written - what is still in the pipe
//! host ◄─ StdinTaken(taken) ◄──┘                         a terminal keeps nothing back: all that is written is taken
//! ```
//!
//! A reader of a pipe cannot be seen, but what it has not read can (FIONREAD). The kernel wakes a writer only when a full
//! pipe is full no more; in between, while something is unread, the pipe is looked at again and again, ever more seldom.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc};

use super::command::Input;

/// First and longest pause between two looks at input that is not read.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(64);

/// Knowledge of a command's standard input.
#[derive(Debug, Default)]
pub(super) struct CountedInput {
    unread: Option<OwnedFd>,
    written: AtomicU64,
    changed: Notify,
}

impl CountedInput {
    /// Of a pipe whose reading end is `unread`; without one what is written counts as read.
    pub(super) fn new(unread: Option<OwnedFd>) -> Self {
        Self {
            unread,
            ..Self::default()
        }
    }

    /// Writes input until the host said that there is no more, then closes it. A terminal stays open: its end is the
    /// command's own affair, and the host sends the end-of-file character.
    pub(super) async fn write(&self, stdin: Option<Input>, mut pieces: mpsc::Receiver<Bytes>) {
        let Some(mut stdin) = stdin else { return };
        while let Some(mut piece) = pieces.recv().await {
            while piece.has_remaining() {
                let Ok(written) = stdin.write(&piece).await else {
                    return;
                };
                piece.advance(written);
                self.written.fetch_add(written as u64, Ordering::Relaxed);
                self.changed.notify_one();
            }
        }
    }

    /// Bytes that the command has read.
    pub(super) fn taken(&self) -> u64 {
        let unread = self.unread.as_ref();
        let unread = unread.and_then(|pipe| rustix::io::ioctl_fionread(pipe).ok());
        let written = self.written.load(Ordering::Relaxed);
        written.saturating_sub(unread.unwrap_or(0))
    }

    /// Waits until the command has read more than `known`, and says how much.
    pub(super) async fn more_than(&self, known: u64) -> u64 {
        let mut pause = FIRST_LOOK;
        loop {
            let taken = self.taken();
            if taken > known {
                return taken;
            }
            if taken == self.written.load(Ordering::Relaxed) {
                self.changed.notified().await;
                pause = FIRST_LOOK;
            } else {
                tokio::select! {
                    () = self.changed.notified() => pause = FIRST_LOOK,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LAST_LOOK),
                }
            }
        }
    }
}
