//! VMs of `vm run --rm`: they are deleted when their run ends, or when their client leaves before the run began.
//!
//! ```text
//! started or adopted ──► a minute ──► did its run begin? ── yes ──► the end of the run's stream deletes it
//!                          ▲   files are on their way to it ┤
//!                          └────────────────────────────────┘
//!                                          └── no ──► deleted
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use banger_api::VmId;

/// Time between the end of a start and the exec that the VM was made for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ephemeral VMs whose client has come since this daemon started.
#[derive(Default)]
pub struct Runs(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// VMs whose run has begun.
    begun: HashSet<VmId>,
    /// VMs that get files for their run: number of open streams, and the time at which the last one ended.
    sent_to: HashMap<VmId, (u32, Instant)>,
}

/// The answer to a look at a VM whose run is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Its run has begun: the end of the run's stream deletes it.
    Begun,
    /// The next look is due after this time.
    Wait(Duration),
    /// Its run never began: it is to be deleted.
    Abandoned,
}

impl Runs {
    /// Notes that the run of this VM begins.
    pub fn begin(&self, vm: VmId) {
        self.lock().begun.insert(vm);
    }

    /// Notes that a stream of files to this VM begins.
    pub fn sending(&self, vm: VmId) {
        let mut seen = self.lock();
        seen.sent_to.entry(vm).or_insert((0, Instant::now())).0 += 1;
    }

    /// Notes that a stream of files to this VM has ended, whole or not.
    pub fn sent(&self, vm: VmId) {
        if let Some((streams, last)) = self.lock().sent_to.get_mut(&vm) {
            *streams = streams.saturating_sub(1);
            *last = Instant::now();
        }
    }

    /// Looks at a VM that started at `started`, whose run is expected. A run that has begun is forgotten with this
    /// answer.
    pub fn look(&self, vm: VmId, started: Instant) -> Look {
        let mut seen = self.lock();
        if seen.begun.remove(&vm) {
            seen.sent_to.remove(&vm);
            return Look::Begun;
        }
        let idle_since = match seen.sent_to.get(&vm) {
            Some((0, last)) => started.max(*last),
            Some(_) => return Look::Wait(PATIENCE),
            None => started,
        };
        match PATIENCE.saturating_sub(idle_since.elapsed()) {
            Duration::ZERO => Look::Abandoned,
            rest => Look::Wait(rest),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_that_nobody_came_for_is_given_up_after_a_minute_and_one_that_files_go_to_is_not() {
        let (runs, vm) = (Runs::default(), VmId::new());
        let now = Instant::now();
        let Some(long_ago) = now.checked_sub(PATIENCE) else {
            return;
        };
        assert!(matches!(runs.look(vm, now), Look::Wait(_)));
        assert_eq!(runs.look(vm, long_ago), Look::Abandoned);
        runs.sending(vm);
        assert_eq!(runs.look(vm, long_ago), Look::Wait(PATIENCE));
        runs.sent(vm);
        assert!(matches!(runs.look(vm, long_ago), Look::Wait(_)));
        runs.begin(vm);
        assert_eq!(runs.look(vm, long_ago), Look::Begun);
    }
}
