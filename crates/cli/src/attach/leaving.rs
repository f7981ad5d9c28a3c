//! When an interrupt leaves the guest command.
//!
//! ```text
//! INT, TERM ──► to the command ──► it is acknowledged: whatever comes of it is the command's affair
//!      │                     └──► not within ACKNOWLEDGED: leave
//!      ├── a second one (of Ctrl-C: within INSIST): leave
//!      └── TERM while its terminal is ours: leave, and the guest hangs the terminal up
//! HUP ──► our terminal is gone: leave
//! ```
//!
//! Whoever leaves ends the command, which gets SIGHUP, and ends with 128 + n itself.

use std::time::Duration;

use banger_api::{ApiError, ErrorCode};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::signals::{Interrupt, Interrupts};

/// A second Ctrl-C within this time after the first leaves the guest command alone.
const INSIST: Duration = Duration::from_secs(2);
/// Time that a guest may take to say that a signal reached its command.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);

/// The rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    /// A command that goes on by itself: every interrupt leaves it.
    pub(super) at_once: bool,
    /// Our terminal is the command's.
    pub(super) terminal: bool,
}

/// Passes interrupts on, and ends when one leaves. `heard` changes when the guest acknowledges.
pub(super) async fn leave(
    leaving: Leaving,
    mut interrupts: Interrupts,
    signals: &mpsc::UnboundedSender<u8>,
    mut heard: watch::Receiver<()>,
) -> Failure {
    let mut last: Option<(Interrupt, Instant)> = None;
    let mut unheard: Option<(Interrupt, Instant)> = None;
    loop {
        let interrupt = tokio::select! {
            interrupt = interrupts.next() => interrupt,
            Ok(()) = heard.changed() => {
                unheard = None;
                continue;
            }
            by = too_late(unheard) => {
                let message = format!(
                    "the guest did not take {by} within {} s: left its command",
                    ACKNOWLEDGED.as_secs()
                );
                let error = ApiError::new(ErrorCode::GuestUnreachable, message)
                    .hint("banger ps tells whether the VM still runs");
                return Failure::with_exit(error, by.exit_code());
            }
        };
        let now = Instant::now();
        let insists = last.is_some_and(|(last, at)| {
            now - at < INSIST || (last, interrupt) == (Interrupt::Term, Interrupt::Term)
        });
        let why = match interrupt {
            _ if leaving.at_once => Some("left the guest command, which goes on"),
            Interrupt::Hup => Some("the terminal is gone"),
            Interrupt::Term if leaving.terminal => Some("left the guest command"),
            _ if insists => Some("interrupted twice: left the guest command"),
            _ => None,
        };
        if let Some(why) = why {
            return Failure::interrupted_by(interrupt, why);
        }
        last = Some((interrupt, now));
        unheard = unheard.or(Some((interrupt, now + ACKNOWLEDGED)));
        // The receiver lives as long as this future.
        let _ = signals.send(interrupt.number());
    }
}

async fn too_late(unheard: Option<(Interrupt, Instant)>) -> Interrupt {
    match unheard {
        Some((interrupt, at)) => {
            tokio::time::sleep_until(at).await;
            interrupt
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Left {
        failure: Failure,
        after: Duration,
        passed_on: Vec<u8>,
    }

    /// Interrupts after so many milliseconds each; the guest acknowledges them or does not.
    async fn left(leaving: Leaving, acknowledges: bool, interrupts: &[(u64, Interrupt)]) -> Left {
        let (raise, interrupts_seen) = Interrupts::by_hand();
        let (signals, mut signalled) = mpsc::unbounded_channel();
        let (told, heard) = watch::channel(());
        let begun = Instant::now();
        let mut passed_on = Vec::new();
        let script = async {
            for (pause, interrupt) in interrupts {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                raise(*interrupt);
                // A guest hears it before it acknowledges it. Time stands still while anything is to be done.
                let tick = Duration::from_millis(1);
                if let Ok(signal) = tokio::time::timeout(tick, signalled.recv()).await {
                    passed_on.extend(signal);
                    if acknowledges {
                        told.send_replace(());
                    }
                }
            }
            // A day without another one.
            tokio::time::sleep(Duration::from_secs(86_400)).await;
            Failure::usage("stayed")
        };
        let failure = tokio::select! {
            failure = leave(leaving, interrupts_seen, &signals, heard) => failure,
            failure = script => failure,
        };
        Left {
            failure,
            after: begun.elapsed(),
            passed_on,
        }
    }

    const COMMAND: Leaving = Leaving {
        at_once: false,
        terminal: false,
    };
    const SHELL: Leaving = Leaving {
        at_once: false,
        terminal: true,
    };
    const DETACHED: Leaving = Leaving {
        at_once: true,
        terminal: false,
    };
    const STAYED: u8 = 2;

    #[tokio::test(start_paused = true)]
    async fn a_signal_that_no_guest_acknowledges_leaves_after_five_seconds() {
        for (interrupt, exit) in [(Interrupt::Term, 143), (Interrupt::Int, 130)] {
            let left = left(COMMAND, false, &[(0, interrupt)]).await;
            assert_eq!(left.failure.exit_code(), exit);
            assert_eq!(left.after.as_secs(), 5);
            assert_eq!(left.passed_on, [interrupt.number()]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_acknowledges_and_lives_on_is_not_left() {
        let left = left(COMMAND, true, &[(0, Interrupt::Term)]).await;
        assert_eq!(left.failure.exit_code(), STAYED);
        assert_eq!(left.passed_on, [15]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_term_leaves_whenever_it_comes_and_the_second_ctrl_c_soon_after_the_first() {
        use Interrupt::{Int, Term};
        let twice = async |pause, interrupt| {
            left(COMMAND, true, &[(0, interrupt), (pause, interrupt)])
                .await
                .failure
                .exit_code()
        };
        assert_eq!(twice(60_000, Term).await, 143);
        assert_eq!(twice(1_000, Int).await, 130);
        assert_eq!(twice(3_000, Int).await, STAYED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_terminal_leaves_at_once_and_so_does_term_in_a_terminal() {
        let hup = left(COMMAND, true, &[(0, Interrupt::Hup)]).await;
        assert_eq!((hup.failure.exit_code(), hup.after.as_secs()), (129, 0));
        let term = left(SHELL, true, &[(0, Interrupt::Term)]).await;
        assert_eq!((term.failure.exit_code(), term.after.as_secs()), (143, 0));
        assert!(term.passed_on.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_detached_command_is_left_by_any_and_hears_none() {
        let left = left(DETACHED, true, &[(0, Interrupt::Int)]).await;
        assert_eq!(left.failure.exit_code(), 130);
        assert!(left.passed_on.is_empty());
    }
}
