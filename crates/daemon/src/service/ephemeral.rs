//! VMs of `vm run --rm`: gone when their run ends, also when whoever asked for them is gone before it began.
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

use banger_api::{ErrorCode, VmId};
use banger_store::vm;

use crate::context::Daemon;

/// Time between the end of a start and the exec that the VM was made for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ephemeral VMs that somebody came for under this daemon.
#[derive(Default)]
pub(crate) struct Runs(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Their run has begun.
    begun: HashSet<VmId>,
    /// Files go to them for their run: how many streams, and when the last one ended.
    sent_to: HashMap<VmId, (u32, Instant)>,
}

/// How a VM's run stands.
enum Stands {
    Begun,
    /// Nobody does anything; since then.
    Idle(Option<Instant>),
    Sending,
}

impl Runs {
    /// The run of this VM begins.
    pub(crate) fn begin(&self, vm: VmId) {
        self.lock().begun.insert(vm);
    }

    /// Files begin to go to this VM.
    pub(crate) fn sending(&self, vm: VmId) {
        let mut seen = self.lock();
        seen.sent_to.entry(vm).or_insert((0, Instant::now())).0 += 1;
    }

    /// They are there, or their sender is gone.
    pub(crate) fn sent(&self, vm: VmId) {
        if let Some((streams, last)) = self.lock().sent_to.get_mut(&vm) {
            *streams = streams.saturating_sub(1);
            *last = Instant::now();
        }
    }

    /// Asks how a run stands; what is over is forgotten.
    fn stands(&self, vm: VmId) -> Stands {
        let mut seen = self.lock();
        if seen.begun.remove(&vm) {
            seen.sent_to.remove(&vm);
            return Stands::Begun;
        }
        match seen.sent_to.get(&vm) {
            Some((0, last)) => Stands::Idle(Some(*last)),
            Some(_) => Stands::Sending,
            None => Stands::Idle(None),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletes an ephemeral VM whose run does not begin. Returns at once; does nothing for other VMs.
pub(crate) fn expect_run(daemon: &Daemon, id: VmId) {
    let ephemeral = daemon
        .read(|db| vm::by_id(db, id))
        .ok()
        .flatten()
        .is_some_and(|vm| vm.ephemeral);
    if !ephemeral {
        return;
    }
    let task = daemon.clone();
    tokio::spawn(async move {
        let mut wait = PATIENCE;
        loop {
            tokio::time::sleep(wait).await;
            wait = match task.runs.stands(id) {
                Stands::Begun => return,
                Stands::Sending => PATIENCE,
                Stands::Idle(last) => {
                    let idle = last.map_or(PATIENCE, |last| last.elapsed());
                    PATIENCE.saturating_sub(idle)
                }
            };
            if wait.is_zero() {
                break;
            }
        }
        tracing::info!(vm = %id, "nobody came for a VM of a run: deleting it");
        let deleted = super::delete(&task, &id.to_string(), true);
        if let Err(error) = deleted.map(drop)
            && error.code != ErrorCode::NotFound
        {
            tracing::error!(vm = %id, %error, "cannot delete a VM that nobody came for");
        }
    });
}
