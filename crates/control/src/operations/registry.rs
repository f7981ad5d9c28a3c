//! All operations of a control plane: they begin, wait for their turn, and end here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_api::operation::{EventKind, OperationKind, OperationState};
use banger_api::vm::VmState;
use banger_api::{ApiError, ErrorCode, OperationId, VmId};
use banger_ops::{Cancel, Events, Runner, store_error};
use banger_store::{Durability, OperationRecord, Store, VmRecord, operation};

use super::{Running, timestamp};
use crate::locks::{self, Held, Key, Locks, Waiter};
use crate::spawn::Spawn;

/// Finished operations whose events are kept in memory.
const KEPT: usize = 128;

/// Description of an operation that is to begin.
pub(crate) struct Asked {
    pub(crate) kind: OperationKind,
    /// The VM that it works on, by id and name.
    pub(crate) vm: Option<(VmId, String)>,
    /// The VM's state after success; `None` when the operation does not change it.
    pub(crate) leads_to: Option<VmState>,
    /// The locks that it needs, in the order in which it takes them.
    pub(crate) keys: Vec<Key>,
}

impl Asked {
    /// An operation on images or kernels that works under `keys`.
    pub(crate) fn files(kind: OperationKind, keys: Vec<Key>) -> Self {
        Self {
            kind,
            vm: None,
            leads_to: None,
            keys,
        }
    }
}

/// The locks that an operation works under.
pub(crate) struct Locked(Vec<Held>);

impl Locked {
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.0.iter().any(|held| held.key() == key)
    }

    /// Gives one of them back early.
    pub(crate) fn release(&mut self, key: &Key) {
        self.0.retain(|held| held.key() != key);
    }
}

type Work = Box<dyn FnOnce(&Arc<Running>, Locked) -> Result<(), ApiError> + Send>;

/// Registry of all operations. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    runner: Runner,
    locks: Arc<dyn Locks>,
    spawn: Arc<dyn Spawn>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// Operations that wait or run, in the order in which they were asked for.
    running: Vec<Arc<Running>>,
    finished: VecDeque<Arc<Running>>,
}

impl Operations {
    pub(crate) fn new(runner: Runner, locks: Arc<dyn Locks>, spawn: Arc<dyn Spawn>) -> Self {
        Self {
            runner,
            locks,
            spawn,
            known: Arc::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> &Store {
        self.runner.store()
    }

    fn now_ms(&self) -> i64 {
        self.runner.host().now_ms()
    }

    /// Begins an operation: `work` runs beside the caller when its turn has come at each of its locks. The operation
    /// exists, also in the store, when this returns.
    ///
    /// # Errors
    /// Only the store's.
    pub(crate) fn spawn(
        &self,
        asked: Asked,
        work: impl FnOnce(&Arc<Running>, Locked) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Arc<Running>, ApiError> {
        let now = self.now_ms();
        let running = Arc::new(Running {
            id: OperationId::new(),
            kind: asked.kind,
            vm: asked.vm.as_ref().map(|(id, _)| *id),
            leads_to: asked.leads_to,
            started_at: timestamp(now),
            host: Arc::clone(self.runner.host()),
            locks: Arc::clone(&self.locks),
            spawn: Arc::clone(&self.spawn),
            cancel: Cancel::new(),
            events: Mutex::default(),
            followers: Mutex::default(),
        });
        let record = OperationRecord {
            id: running.id,
            kind: asked.kind,
            vm: running.vm,
            vm_name: asked.vm.map(|(_, name)| name),
            state: OperationState::Running,
            started_ms: now,
            finished_ms: None,
            error: None,
        };
        // Registered before others can ask for the same VM.
        self.known().running.push(running.clone());
        // The first plan makes this row durable: nothing has happened before it.
        let written = self.store().write_as(Durability::Soon, move |tx| {
            operation::insert_operation(tx, &record)
        });
        if let Err(error) = written {
            let error = store_error(error);
            // Another request may have joined it meanwhile: its followers learn of the failure from this event.
            running.emit(EventKind::Finished {
                state: OperationState::Failed,
                error: Some(error.clone()),
            });
            self.known().running.retain(|op| op.id != running.id);
            self.spawn.wake();
            return Err(error);
        }
        line_up(
            self.clone(),
            running.clone(),
            Vec::new(),
            asked.keys.into(),
            Box::new(work),
        );
        if running.cancel.is_cancelled() {
            // It was cancelled before it stood in line.
            self.locks.withdraw(running.id);
        }
        Ok(running)
    }

    /// Waits on the calling thread for a lock that an operation needs in its middle.
    ///
    /// # Errors
    /// `cancelled`.
    pub(crate) fn hold(&self, op: &Running, key: Key) -> Result<Held, ApiError> {
        locks::hold(&*self.locks, &self.spawn, key, op.id, &op.cancel)
    }

    /// Runs `work` beside the caller, without an operation, when the turn of `key` has come.
    pub(crate) fn queue(&self, key: Key, work: impl FnOnce(Held) + Send + 'static) {
        let spawn = Arc::clone(&self.spawn);
        let turn = move |turn: Result<Held, ApiError>| {
            // Nothing withdraws this waiter: the turn always brings a lock.
            if let Ok(held) = turn {
                spawn.spawn(Box::new(move || work(held)));
            }
        };
        let waiter = Waiter {
            operation: None,
            turn: Box::new(turn),
        };
        self.locks.queue(key, waiter);
    }

    fn run(&self, running: &Arc<Running>, locked: Result<Locked, ApiError>, work: Work) {
        // A panic in a step must not leave followers waiting for ever.
        let work = std::panic::AssertUnwindSafe(|| work(running, locked?));
        let result = std::panic::catch_unwind(work).unwrap_or_else(|_panic| {
            Err(ApiError::new(
                ErrorCode::Internal,
                "banger failed at this; its log has the details",
            )
            .hint("banger daemon status shows where the daemon's log is"))
        });
        self.finish(running, result);
    }

    /// Writes the end of an operation to the store. An operation whose end cannot be written has failed: the next recovery
    /// takes it for one that was cut off, so no client may see it as a success.
    fn record_end(&self, id: OperationId, result: Result<(), ApiError>) -> Result<(), ApiError> {
        let (state, json) = match &result {
            Ok(()) => (OperationState::Done, None),
            Err(error) if error.code == ErrorCode::Cancelled => (OperationState::Cancelled, None),
            Err(error) => (OperationState::Failed, serde_json::to_string(error).ok()),
        };
        let now = self.now_ms();
        let written = self
            .store()
            .write(move |tx| operation::finish_operation(tx, id, state, now, json.as_deref()));
        match written {
            Ok(()) => result,
            Err(error) => {
                tracing::error!(operation = %id, %error, "cannot write how an operation ended");
                result.and(Err(store_error(error)))
            }
        }
    }

    fn finish(&self, running: &Arc<Running>, result: Result<(), ApiError>) {
        let result = self.record_end(running.id, result);
        let error = result.err().map(|error| error.of_operation(running.id));
        let state = match &error {
            None => OperationState::Done,
            Some(error) if error.code == ErrorCode::Cancelled => OperationState::Cancelled,
            Some(_) => OperationState::Failed,
        };
        running.emit(EventKind::Finished { state, error });
        let mut known = self.known();
        known.running.retain(|op| op.id != running.id);
        known.finished.push_back(running.clone());
        if known.finished.len() > KEPT {
            known.finished.pop_front();
        }
        drop(known);
        self.spawn.wake();
    }

    /// An operation that waits or runs, or ended a short while ago.
    pub fn find(&self, id: OperationId) -> Option<Arc<Running>> {
        let known = self.known();
        let mut all = known.running.iter().chain(&known.finished);
        all.find(|running| running.id == id).cloned()
    }

    /// The unfinished operation of a kind on a VM.
    pub(crate) fn running_on(&self, vm: VmId, kind: OperationKind) -> Option<Arc<Running>> {
        let known = self.known();
        let mut all = known.running.iter();
        all.find(|op| op.vm == Some(vm) && op.kind == kind).cloned()
    }

    /// All that wait or run now, in the order in which they were asked for.
    pub fn all_running(&self) -> Vec<Arc<Running>> {
        self.known().running.clone()
    }

    /// The state that a VM will be in after all its operations that wait or run. A new request is checked against this
    /// state before it queues behind them.
    pub(crate) fn expected(&self, record: &VmRecord) -> VmState {
        let known = self.known();
        let newest_first = known.running.iter().rev();
        newest_first
            .filter(|op| op.vm == Some(record.id))
            .find_map(|op| op.leads_to)
            .unwrap_or(record.state)
    }

    /// Cancels the operations on a VM that wait or run, before a kill. Operations that end the VM anyway go on.
    pub(crate) fn make_way(&self, vm: VmId) {
        let ends = |op: &Running| {
            matches!(
                op.leads_to,
                Some(VmState::Stopped | VmState::Deleting | VmState::Error)
            )
        };
        for op in self.all_running() {
            if op.vm == Some(vm) && !ends(&op) {
                op.cancel();
            }
        }
    }
}

/// Queues for the first of `keys`, then for the rest in turn, then runs the work. No thread waits meanwhile.
fn line_up(
    operations: Operations,
    running: Arc<Running>,
    mut held: Vec<Held>,
    mut keys: VecDeque<Key>,
    work: Work,
) {
    let Some(key) = keys.pop_front() else {
        let spawn = Arc::clone(&operations.spawn);
        spawn.spawn(Box::new(move || {
            operations.run(&running, Ok(Locked(held)), work);
        }));
        return;
    };
    let (locks, id) = (Arc::clone(&operations.locks), running.id);
    let turn = move |turn: Result<Held, ApiError>| match turn {
        Ok(lock) => {
            held.push(lock);
            line_up(operations, running, held, keys, work);
        }
        Err(error) => {
            drop(held);
            let spawn = Arc::clone(&operations.spawn);
            spawn.spawn(Box::new(move || {
                operations.run(&running, Err(error), work);
            }));
        }
    };
    locks.queue(
        key,
        Waiter {
            operation: Some(id),
            turn: Box::new(turn),
        },
    );
}
