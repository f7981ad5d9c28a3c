//! The processes that this one started: each is waited for by a thread of its own, so that no zombie stays and its exit status is known.

use std::collections::HashMap;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Identity;

/// A thread that only waits needs next to no stack, bytes.
const REAPER_STACK_BYTES: usize = 64 * 1024;
/// Exit statuses remembered; older ones are forgotten.
const STATUSES_MAX: usize = 1024;

/// Pid and start time: a pid alone is reused.
type Key = (u32, u64);

/// Registry of children; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    statuses: Mutex<HashMap<Key, Option<ExitStatus>>>,
    reaped: Condvar,
}

impl Children {
    /// Takes a child over; `start_ticks` makes its pid unique.
    pub(crate) fn reap(&self, mut child: Child, start_ticks: u64) -> io::Result<()> {
        let key = (child.id(), start_ticks);
        self.make_room().insert(key, None);
        let shared = Arc::clone(&self.0);
        std::thread::Builder::new()
            .name(format!("reap-{}", child.id()))
            .stack_size(REAPER_STACK_BYTES)
            .spawn(move || {
                let status = child.wait();
                let mut statuses = lock(&shared.statuses);
                match status {
                    Ok(status) => statuses.insert(key, Some(status)),
                    Err(error) => {
                        tracing::warn!(pid = key.0, %error, "cannot wait for a process");
                        statuses.remove(&key)
                    }
                };
                shared.reaped.notify_all();
            })
            .map(drop)
    }

    /// The exit status of a child that has ended; waits a moment for the thread that collects it.
    /// `None` for processes of others, and for children that still live.
    pub fn status(&self, id: &Identity) -> Option<ExitStatus> {
        let key = (id.pid, id.start_ticks);
        let statuses = lock(&self.0.statuses);
        let (statuses, _) = self
            .0
            .reaped
            .wait_timeout_while(statuses, Duration::from_secs(2), |s| {
                s.get(&key) == Some(&None)
            })
            .unwrap_or_else(PoisonError::into_inner);
        statuses.get(&key).copied().flatten()
    }

    fn make_room(&self) -> MutexGuard<'_, HashMap<Key, Option<ExitStatus>>> {
        let mut statuses = lock(&self.0.statuses);
        if statuses.len() >= STATUSES_MAX {
            statuses.retain(|_, status| status.is_none());
        }
        statuses
    }
}

/// The map is whole between statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
