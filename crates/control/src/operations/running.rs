//! One operation in memory: its events, its followers, its cancellation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_api::operation::{Event, EventKind, OperationKind, OperationState};
use banger_api::vm::{Accepted, Vm, VmState};
use banger_api::{ApiError, OperationId, Timestamp, VmId};
use banger_ops::{Cancel, Events, Host};

use super::timestamp;
use crate::locks::Locks;
use crate::spawn::Spawn;

/// Events that one operation keeps; progress beyond it only replaces the last one.
const MAX_EVENTS: usize = 2_000;

/// Callback of a follower: gets the number of events when there are more. Must not block.
type Follower = Arc<dyn Fn(u64) + Send + Sync>;

/// An operation that waits for its turn, runs, or ended a short while ago.
pub struct Running {
    /// Its id.
    pub id: OperationId,
    pub(super) kind: OperationKind,
    pub(super) vm: Option<VmId>,
    /// The VM's state after success; `None` when the operation does not change it.
    pub(super) leads_to: Option<VmState>,
    pub(super) started_at: Timestamp,
    pub(super) host: Arc<dyn Host>,
    pub(super) locks: Arc<dyn Locks>,
    pub(super) spawn: Arc<dyn Spawn>,
    pub(super) cancel: Cancel,
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) followers: Mutex<HashMap<u64, Follower>>,
}

/// Subscription of a follower; it ends when this is dropped.
pub struct Subscription {
    running: Arc<Running>,
    key: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.running.followers().remove(&self.key);
    }
}

impl Running {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers(&self) -> MutexGuard<'_, HashMap<u64, Follower>> {
        self.followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports to followers that the requested result exists already.
    pub(crate) fn up_to_date(&self) {
        self.emit(EventKind::StageDone {
            stage: banger_api::operation::UP_TO_DATE.to_owned(),
            us: 0,
        });
    }

    /// The answer to a request: the operation to follow, and the VM as it is now.
    pub(crate) fn accepted(&self, vm: Option<Vm>) -> Accepted {
        Accepted {
            forks: Vec::new(),
            operation: self.id,
            vm,
        }
    }

    /// The signal that fires when it is cancelled.
    pub fn cancelled(&self) -> &Cancel {
        &self.cancel
    }

    /// Asks it to stop, as soon as it can. One that waits for its turn ends now; one that must be completed goes on.
    pub fn cancel(&self) {
        self.cancel.cancel();
        self.locks.withdraw(self.id);
        self.spawn.wake();
    }

    /// Events from number `from` on that are there now.
    pub fn since(&self, from: u64) -> Vec<Event> {
        self.events()
            .iter()
            .filter(|event| event.seq >= from)
            .cloned()
            .collect()
    }

    /// Calls `follower` when there are more events, until the subscription is dropped. It is not called for those that
    /// are there now.
    pub fn follow(
        self: &Arc<Self>,
        follower: impl Fn(u64) + Send + Sync + 'static,
    ) -> Subscription {
        let mut followers = self.followers();
        let key = followers.keys().max().map_or(0, |last| last + 1);
        followers.insert(key, Arc::new(follower));
        drop(followers);
        Subscription {
            running: Arc::clone(self),
            key,
        }
    }

    /// Its end: state, error and time; `None` as long as it waits or runs.
    pub fn outcome(&self) -> Option<(OperationState, Option<ApiError>, Timestamp)> {
        self.events().last().and_then(|event| match &event.kind {
            EventKind::Finished { state, error } => Some((*state, error.clone(), event.at)),
            _ => None,
        })
    }
}

impl Events for Running {
    fn emit(&self, kind: EventKind) {
        let at = timestamp(self.host.now_ms());
        let mut events = self.events();
        let seq = events.last().map_or(0, |event| event.seq + 1);
        let is_progress = matches!(kind, EventKind::Stage { .. });
        if is_progress && events.len() >= MAX_EVENTS {
            events.pop();
        }
        events.push(Event { seq, at, kind });
        drop(events);
        let followers: Vec<Follower> = self.followers().values().cloned().collect();
        for follower in followers {
            follower(seq + 1);
        }
    }
}
