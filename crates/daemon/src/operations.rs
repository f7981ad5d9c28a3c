//! Operations: what runs now, its events, and how to follow or cancel it.
//!
//! ```text
//! spawn(work) ──► row in the store ──► a thread runs the work ──► events ──► followers, each at its own pace
//!                                              │                              (a late one gets them all)
//!                                              └──► row finished, Finished event, kept in memory for a while
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use banger_api::operation::{
    Event, EventKind, LoggedOperation, LoggedStep, Operation, OperationState, StageTime,
};
use banger_api::vm::{Accepted, Vm};
use banger_api::{ApiError, ErrorCode, OperationId, Timestamp, VmId};
use banger_ops::{Cancel, Events};
use banger_store::{Durability, JournalStep, OperationRecord, Store, operation};
use tokio::sync::watch;

/// Finished operations whose events are kept in memory.
const KEPT: usize = 128;
/// Events that one operation keeps; progress beyond it only replaces the last one.
const MAX_EVENTS: usize = 2_000;

/// One operation in memory.
pub(crate) struct Running {
    pub(crate) id: OperationId,
    kind: String,
    vm: Option<VmId>,
    started_at: Timestamp,
    /// Fires when somebody wants it to stop.
    pub(crate) cancel: Cancel,
    events: Mutex<Vec<Event>>,
    /// Number of events: what followers wait on.
    count: watch::Sender<u64>,
}

impl Running {
    /// What was asked for is there already.
    pub(crate) fn up_to_date(&self) {
        self.emit(EventKind::StageDone {
            stage: banger_api::operation::UP_TO_DATE.to_owned(),
            us: 0,
        });
    }

    /// What whoever asked is told at once: where to follow, and the VM as it is.
    pub(crate) fn accepted(&self, vm: Option<Vm>) -> Accepted {
        Accepted {
            operation: self.id,
            vm,
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events from number `from` on that are there now.
    pub(crate) fn since(&self, from: u64) -> Vec<Event> {
        self.events()
            .iter()
            .filter(|event| event.seq >= from)
            .cloned()
            .collect()
    }

    /// Tells when there are more events than were seen.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// Whether it works on this VM.
    pub(crate) fn concerns(&self, vm: VmId) -> bool {
        self.vm == Some(vm)
    }

    fn outcome(&self) -> Option<(OperationState, Option<ApiError>, Timestamp)> {
        self.events().last().and_then(|event| match &event.kind {
            EventKind::Finished { state, error } => Some((*state, error.clone(), event.at)),
            _ => None,
        })
    }

    /// Waits until it has ended.
    pub(crate) async fn finished(&self) -> Result<(), ApiError> {
        let mut watch = self.watch();
        loop {
            if let Some((_, error, _)) = self.outcome() {
                return error.map_or(Ok(()), Err);
            }
            if watch.changed().await.is_err() {
                return Err(ApiError::new(ErrorCode::Internal, "the operation was lost"));
            }
        }
    }

    fn view(&self) -> Operation {
        let stages = stage_times(&self.events());
        let (state, error, finished_at) = match self.outcome() {
            Some((state, error, at)) => (state, error, Some(at)),
            None => (OperationState::Running, None, None),
        };
        Operation {
            id: self.id,
            kind: self.kind.clone(),
            vm: self.vm,
            state,
            started_at: self.started_at,
            finished_at,
            error,
            stages,
        }
    }
}

fn stage_times(events: &[Event]) -> Vec<StageTime> {
    let time = |event: &Event| match &event.kind {
        EventKind::StageDone { stage, us } => Some(StageTime {
            stage: stage.clone(),
            us: *us,
        }),
        _ => None,
    };
    events.iter().filter_map(time).collect()
}

impl Events for Running {
    fn emit(&self, kind: EventKind) {
        let mut events = self.events();
        let seq = events.last().map_or(0, |event| event.seq + 1);
        let is_progress = matches!(kind, EventKind::Stage { .. });
        if is_progress && events.len() >= MAX_EVENTS {
            events.pop();
        }
        events.push(Event {
            seq,
            at: Timestamp::now(),
            kind,
        });
        drop(events);
        self.count.send_replace(seq + 1);
    }
}

/// All operations of this daemon.
#[derive(Clone)]
pub(crate) struct Operations {
    store: Arc<Store>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    running: HashMap<OperationId, Arc<Running>>,
    finished: VecDeque<Arc<Running>>,
}

impl Operations {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            known: Arc::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts `work` on a thread of its own. The operation exists, also in the store, when this returns.
    pub(crate) fn spawn(
        &self,
        kind: &str,
        vm: Option<(VmId, String)>,
        work: impl FnOnce(&Arc<Running>) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Arc<Running>, ApiError> {
        let running = Arc::new(Running {
            id: OperationId::new(),
            kind: kind.to_owned(),
            vm: vm.as_ref().map(|(id, _)| *id),
            started_at: Timestamp::now(),
            cancel: Cancel::new(),
            events: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let record = OperationRecord {
            id: running.id,
            kind: kind.to_owned(),
            vm: running.vm,
            vm_name: vm.map(|(_, name)| name),
            state: "running".to_owned(),
            started_ms: now_ms(),
            finished_ms: None,
            error: None,
        };
        self.store
            // Durable with the first plan that follows: before it, nothing has happened.
            .write_as(Durability::Soon, move |tx| {
                operation::insert_operation(tx, &record)
            })
            .map_err(banger_ops::store_error)?;
        self.known().running.insert(running.id, running.clone());
        let (operations, task) = (self.clone(), running.clone());
        tokio::task::spawn_blocking(move || {
            // A panic in a step must not leave followers waiting for ever.
            let work = std::panic::AssertUnwindSafe(|| work(&task));
            let result = std::panic::catch_unwind(work).unwrap_or_else(|_panic| {
                Err(ApiError::new(
                    ErrorCode::Internal,
                    "banger failed at this; its log has the details",
                )
                .hint("banger daemon status shows where the daemon's log is"))
            });
            operations.finish(&task, result);
        });
        Ok(running)
    }

    /// Writes how an operation ended. One whose end cannot be written has failed: the next recovery takes it for one that
    /// was cut off, and nobody may have been told otherwise.
    fn record_end(&self, id: OperationId, result: Result<(), ApiError>) -> Result<(), ApiError> {
        let (word, json) = match &result {
            Ok(()) => ("done", None),
            Err(error) if error.code == ErrorCode::Cancelled => ("cancelled", None),
            Err(error) => ("failed", serde_json::to_string(error).ok()),
        };
        let written = self
            .store
            .write(move |tx| operation::finish_operation(tx, id, word, now_ms(), json.as_deref()));
        match written {
            Ok(()) => result,
            Err(error) => {
                tracing::error!(operation = %id, %error, "cannot write how an operation ended");
                result.and(Err(banger_ops::store_error(error)))
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
        let id = running.id;
        running.emit(EventKind::Finished { state, error });
        let mut known = self.known();
        known.running.remove(&id);
        known.finished.push_back(running.clone());
        if known.finished.len() > KEPT {
            known.finished.pop_front();
        }
    }

    /// An operation that runs, or ended a short while ago.
    pub(crate) fn find(&self, id: OperationId) -> Option<Arc<Running>> {
        let known = self.known();
        let finished = || {
            known
                .finished
                .iter()
                .find(|running| running.id == id)
                .cloned()
        };
        known.running.get(&id).cloned().or_else(finished)
    }

    /// The running operation of a kind on a VM.
    pub(crate) fn running_on(&self, vm: VmId, kind: &str) -> Option<Arc<Running>> {
        let known = self.known();
        known
            .running
            .values()
            .find(|op| op.vm == Some(vm) && op.kind == kind)
            .cloned()
    }

    /// All that run now.
    pub(crate) fn all_running(&self) -> Vec<Arc<Running>> {
        self.known().running.values().cloned().collect()
    }

    /// An operation as users see it, from memory or from the store.
    pub(crate) fn view(&self, id: OperationId) -> Result<Operation, ApiError> {
        if let Some(running) = self.find(id) {
            return Ok(running.view());
        }
        let record = self
            .store
            .read(|db| operation::operation(db, id))
            .map_err(banger_ops::store_error)?
            .ok_or_else(|| {
                ApiError::new(ErrorCode::NotFound, format!("there is no operation {id}"))
            })?;
        Ok(view_of(record))
    }

    /// The newest operations with their journals; of one VM, by id or by a name that it had, when `vm` is given.
    pub(crate) fn log(
        &self,
        vm: Option<&str>,
        limit: u32,
    ) -> Result<Vec<LoggedOperation>, ApiError> {
        self.store
            .read(|db| {
                let records = operation::operations(db, vm, limit)?;
                let logged = |record: OperationRecord| {
                    let steps = operation::steps_of_operation(db, record.id)?;
                    Ok(LoggedOperation {
                        vm_name: record.vm_name.clone(),
                        operation: view_of(record),
                        steps: steps.into_iter().map(logged_step).collect(),
                    })
                };
                records.into_iter().map(logged).collect()
            })
            .map_err(banger_ops::store_error)
    }
}

fn logged_step(step: JournalStep) -> LoggedStep {
    LoggedStep {
        step: step.name,
        state: step.state.as_str().to_owned(),
        at: timestamp(step.at_ms),
        us: step.us,
        error: step.error,
    }
}

/// An operation of which only the store knows.
fn view_of(record: OperationRecord) -> Operation {
    Operation {
        id: record.id,
        kind: record.kind,
        vm: record.vm,
        state: match record.state.as_str() {
            "done" => OperationState::Done,
            "cancelled" => OperationState::Cancelled,
            "running" => OperationState::Running,
            _ => OperationState::Failed,
        },
        started_at: timestamp(record.started_ms),
        finished_at: record.finished_ms.map(timestamp),
        error: record
            .error
            .and_then(|json| serde_json::from_str(&json).ok()),
        stages: Vec::new(),
    }
}

/// Ms since 1970 as a timestamp; what is out of range (a damaged record) becomes 1970.
pub(crate) fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// Ms since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
