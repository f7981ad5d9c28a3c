//! Repeatable concurrency: threads take turns, one at a time, in the order of a seed.
//!
//! ```text
//! task: … act ── point() ──► the seed picks a task that may run ──► it runs to its next point
//!                 wait_until(ready) ──► as point(), but runs only when it is ready: checked again after each wake()
//!                 spawn(job) ──► one more task
//! ```

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use banger_control::Job;

use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    /// It waits for an effect of another task.
    Waits,
    Done,
}

#[derive(Debug)]
struct Turns {
    random: Random,
    /// The task that runs now.
    current: Option<usize>,
    tasks: Vec<Status>,
    /// True when all remaining tasks wait for each other.
    stuck: bool,
}

impl Turns {
    fn ready(&self) -> Vec<usize> {
        let ready = |task: &usize| self.tasks.get(*task) == Some(&Status::Ready);
        (0..self.tasks.len()).filter(ready).collect()
    }

    /// Picks the next task to run.
    fn next(&mut self) {
        let mut ready = self.ready();
        if ready.is_empty() && self.tasks.contains(&Status::Waits) {
            self.stuck = true;
            self.wake();
            ready = self.ready();
        }
        self.current = self.random.pick(&ready).filter(|_| !ready.is_empty());
    }

    fn wake(&mut self) {
        for status in &mut self.tasks {
            if *status == Status::Waits {
                *status = Status::Ready;
            }
        }
    }

    fn set(&mut self, task: usize, to: Status) {
        if let Some(status) = self.tasks.get_mut(task) {
            *status = to;
        }
    }
}

/// The order of turns.
#[derive(Debug)]
pub(crate) struct Schedule {
    turns: Mutex<Turns>,
    turn: Condvar,
    /// Threads of tasks that other tasks spawned.
    threads: Mutex<Vec<JoinHandle<()>>>,
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
            stuck: false,
        };
        Self {
            turns: Mutex::new(turns),
            turn: Condvar::new(),
            threads: Mutex::default(),
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
        turns.set(task, Status::Done);
        turns.next();
        drop(turns);
        self.turn.notify_all();
        TASK.set(None);
    }

    /// Lets the first task run, once all exist.
    pub(crate) fn begin(&self) {
        self.turns().next();
        self.turn.notify_all();
    }

    /// Runs `job` as one more task.
    pub(crate) fn spawn(self: &Arc<Self>, job: Job) {
        let task = {
            let mut turns = self.turns();
            turns.tasks.push(Status::Ready);
            turns.tasks.len() - 1
        };
        let schedule = Arc::clone(self);
        let thread = std::thread::spawn(move || schedule.task(task, job));
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(thread);
    }

    /// Waits until every task has ended. Returns false if tasks waited for each other in a deadlock.
    pub(crate) fn end(&self) -> bool {
        loop {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(thread) = threads.pop() else { break };
            drop(threads);
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        !self.turns().stuck
    }

    /// Gives other tasks the chance to run.
    pub(crate) fn point(&self) {
        let Some(task) = TASK.get() else { return };
        let mut turns = self.turns();
        turns.next();
        if turns.current != Some(task) {
            self.wait(task, turns);
        }
    }

    /// Lets other tasks run until `ready` returns true, or until no task can make it true.
    pub(crate) fn wait_until(&self, ready: &mut dyn FnMut() -> bool) {
        let Some(task) = TASK.get() else { return };
        while !ready() {
            let mut turns = self.turns();
            if turns.stuck {
                return;
            }
            turns.set(task, Status::Waits);
            turns.next();
            if turns.current != Some(task) {
                self.wait(task, turns);
            }
        }
    }

    /// Makes waiting tasks check their conditions again.
    pub(crate) fn wake(&self) {
        self.turns().wake();
    }
}
