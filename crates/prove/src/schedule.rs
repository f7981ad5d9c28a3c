//! Concurrency that repeats: threads that take turns, one at a time, as a seed decides.
//!
//! ```text
//! task: … act ── point() ──► the seed picks a task that may go on ──► it runs to its next point
//!                 lock(k) ──► as point(), and goes on only while nobody else has k
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    Wants(Uuid),
    Done,
}

#[derive(Debug)]
struct Turns {
    random: Random,
    /// Whose turn it is.
    current: Option<usize>,
    tasks: Vec<Status>,
    locks: BTreeMap<Uuid, usize>,
}

impl Turns {
    /// Picks who goes on.
    fn next(&mut self) {
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|task| match self.tasks.get(*task) {
                Some(Status::Ready) => true,
                Some(Status::Wants(key)) => !self.locks.contains_key(key),
                _ => false,
            })
            .collect();
        self.current = self.random.pick(&ready);
        if let Some(task) = self.current
            && let Some(status) = self.tasks.get_mut(task)
        {
            if let Status::Wants(key) = *status {
                self.locks.insert(key, task);
            }
            *status = Status::Ready;
        }
    }
}

/// The order of turns.
#[derive(Debug)]
pub(crate) struct Schedule {
    turns: Mutex<Turns>,
    turn: Condvar,
}

thread_local! {
    static TASK: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Schedule {
    pub(crate) fn new(tasks: usize, random: Random) -> Self {
        let turns = Turns {
            random,
            current: None,
            tasks: vec![Status::Ready; tasks],
            locks: BTreeMap::new(),
        };
        Self {
            turns: Mutex::new(turns),
            turn: Condvar::new(),
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, task: usize, mut turns: MutexGuard<'_, Turns>) {
        self.turn.notify_all();
        while turns.current != Some(task) {
            turns = self
                .turn
                .wait(turns)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs `body` as task number `task` of this schedule, on the calling thread.
    pub(crate) fn task(&self, task: usize, body: impl FnOnce()) {
        TASK.set(Some(task));
        let turns = self.turns();
        self.wait(task, turns);
        body();
        let mut turns = self.turns();
        turns.locks.retain(|_, holder| *holder != task);
        if let Some(status) = turns.tasks.get_mut(task) {
            *status = Status::Done;
        }
        turns.next();
        drop(turns);
        self.turn.notify_all();
        TASK.set(None);
    }

    /// Lets the first task begin, once all are there.
    pub(crate) fn begin(&self) {
        self.turns().next();
        self.turn.notify_all();
    }

    /// Another task may go on here.
    pub(crate) fn point(&self) {
        let Some(task) = TASK.get() else { return };
        let mut turns = self.turns();
        turns.next();
        if turns.current != Some(task) {
            self.wait(task, turns);
        }
    }

    /// Takes a lock that the task keeps until [`Schedule::unlock`].
    pub(crate) fn lock(&self, key: Uuid) {
        let Some(task) = TASK.get() else { return };
        let mut turns = self.turns();
        if let Some(status) = turns.tasks.get_mut(task) {
            *status = Status::Wants(key);
        }
        turns.next();
        if turns.current != Some(task) {
            self.wait(task, turns);
        }
    }

    pub(crate) fn unlock(&self, key: Uuid) {
        if TASK.get().is_some() {
            self.turns().locks.remove(&key);
        }
    }
}
