//! The caller's side of progress and cancelling.

use std::ops::ControlFlow;

/// Asked between units of work of at most some tens of milliseconds; `true` ends the work with [`Cancelled`].
pub type Cancel<'a> = &'a dyn Fn() -> bool;

/// The caller asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// The part of some work that is under way.
pub trait Stage: Copy {
    /// The stage's name on the wire and in progress lines.
    fn name(self) -> &'static str;
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress<S> {
    /// The part of the work that is under way.
    pub stage: S,
    /// To what: a file, a package, a line of a program's output.
    pub detail: String,
    /// Units done (bytes, packages or modules, by stage); 0 when not counted.
    pub done: u64,
    /// Units in all; 0 when not known.
    pub total: u64,
}

/// The caller's side of progress and cancelling, borrowed for one call.
pub struct Watch<'a, S> {
    progress: &'a mut dyn FnMut(Progress<S>),
    cancel: Cancel<'a>,
}

impl<'a, S: Stage> Watch<'a, S> {
    /// Reports to `progress` and stops when `cancel` says so.
    pub fn new(progress: &'a mut dyn FnMut(Progress<S>), cancel: Cancel<'a>) -> Self {
        Self { progress, cancel }
    }

    /// Tells how far the work is.
    pub fn report(&mut self, stage: S, detail: impl Into<String>, done: u64, total: u64) {
        (self.progress)(Progress {
            stage,
            detail: detail.into(),
            done,
            total,
        });
    }

    /// The caller's cancel itself, for other functions that ask it.
    pub fn cancel(&self) -> Cancel<'a> {
        self.cancel
    }

    /// Ends the work when the caller has cancelled it.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn check(&self) -> Result<(), Cancelled> {
        match (self.cancel)() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    /// The same as a loop's answer.
    pub fn flow(&self) -> ControlFlow<()> {
        match (self.cancel)() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Reading;

    impl Stage for Reading {
        fn name(self) -> &'static str {
            "read"
        }
    }

    #[test]
    fn work_tells_how_far_it_is_until_it_is_cancelled() {
        let over = std::cell::Cell::new(false);
        let mut told = Vec::new();
        let mut tell = |progress: Progress<Reading>| {
            over.set(progress.done == 2);
            told.push(progress.done);
        };
        let cancel = || over.get();
        let mut watch = Watch::new(&mut tell, &cancel);
        let mut work = || {
            for done in 1..9 {
                watch.check()?;
                watch.report(Reading, "a file", done, 8);
            }
            Ok(())
        };
        assert_eq!(work(), Err(Cancelled));
        assert_eq!(told, [1, 2]);
    }
}
