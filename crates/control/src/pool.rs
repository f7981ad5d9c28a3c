//! A bounded pool of threads for operations. Threads start when there is work and end when they stay idle.
//!
//! ```text
//! spawn ─► an idle thread, else a new one below the limit, else the queue
//! wait  ─► the thread does not count while it waits: one that is needed to end the wait finds room
//! ```

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::spawn::{Job, Spawn};

/// Time that a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// A bounded pool of threads. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// Signals new work to one idle thread.
    work: Condvar,
    /// Signals all threads in [`Spawn::wait`] to check again.
    woken: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// All threads of the pool.
    threads: usize,
    /// Threads without work.
    idle: usize,
    /// Threads in [`Spawn::wait`].
    waiting: usize,
    /// Number of calls of [`Spawn::wake`].
    wakes: u64,
}

thread_local! {
    static OF_A_POOL: Cell<bool> = const { Cell::new(false) };
}

impl Pool {
    /// A pool in which at most `limit` threads work at once.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit: limit.max(1),
            state: Mutex::default(),
            work: Condvar::new(),
            woken: Condvar::new(),
        }))
    }

    /// Threads that it has now.
    pub fn threads(&self) -> usize {
        self.0.state().threads
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts threads for the jobs that no idle thread will take, as far as the limit allows.
    fn staff(self: &Arc<Self>, state: &mut State) {
        while state.jobs.len() > state.idle && state.threads - state.waiting < self.limit {
            let shared = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name("operation".to_owned())
                .spawn(move || shared.work());
            match started {
                // It counts as idle until it has taken a job.
                Ok(_thread) => {
                    state.threads += 1;
                    state.idle += 1;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot start a thread for an operation");
                    break;
                }
            }
        }
    }

    fn work(&self) {
        OF_A_POOL.set(true);
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                drop(state);
                // A job reports its own panics; a panic that it does not catch must not leave the count of threads wrong.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.state();
                state.idle += 1;
                // Waits that have ended may have brought the pool beyond its limit.
                if state.threads - state.waiting > self.limit {
                    break;
                }
                continue;
            }
            let (after, timeout) = self
                .work
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.idle -= 1;
        state.threads -= 1;
    }
}

impl Spawn for Pool {
    fn spawn(&self, job: Job) {
        let mut state = self.0.state();
        state.jobs.push_back(job);
        self.0.staff(&mut state);
        drop(state);
        self.0.work.notify_one();
    }

    fn wait(&self, ready: &mut dyn FnMut() -> bool) {
        let ours = usize::from(OF_A_POOL.get());
        let mut state = self.0.state();
        state.waiting += ours;
        self.0.staff(&mut state);
        loop {
            let seen = state.wakes;
            // Released first: `ready` takes locks of its own.
            drop(state);
            let done = ready();
            state = self.0.state();
            if done {
                break;
            }
            while state.wakes == seen {
                state = self
                    .0
                    .woken
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.waiting -= ours;
    }

    fn wake(&self) {
        self.0.state().wakes += 1;
        self.0.woken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn no_more_jobs_run_at_once_than_the_pool_allows() {
        let pool = Pool::new(2);
        let (tell, told) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        for n in 0..5 {
            let (tell, gate) = (tell.clone(), gate.clone());
            pool.spawn(Box::new(move || {
                tell.send(n).unwrap();
                let _ = gate.lock().unwrap().recv();
            }));
        }
        let first = [0, 1].map(|_| told.recv_timeout(SOON).unwrap());
        assert_eq!(first.iter().sum::<i32>(), 1, "in their order");
        assert_eq!(pool.threads(), 2);
        drop(open);
        for _ in 2..5 {
            told.recv_timeout(SOON).unwrap();
        }
    }

    #[test]
    fn a_job_that_waits_leaves_its_place_to_the_one_that_it_waits_for() {
        let pool = Pool::new(1);
        let done = Arc::new(Mutex::new(false));
        let (tell, told) = mpsc::channel();
        let (task, seen) = (pool.clone(), done.clone());
        pool.spawn(Box::new(move || {
            let (other, set) = (task.clone(), seen.clone());
            task.spawn(Box::new(move || {
                *set.lock().unwrap() = true;
                other.wake();
            }));
            task.wait(&mut || *seen.lock().unwrap());
            tell.send(()).unwrap();
        }));
        told.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let pool = Pool::new(1);
        let (tell, told) = mpsc::channel();
        pool.spawn(Box::new(|| panic!("planted")));
        pool.spawn(Box::new(move || tell.send(()).unwrap()));
        told.recv_timeout(SOON).unwrap();
    }
}
