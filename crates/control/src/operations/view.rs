//! Operations as users see them, from memory or from the store.

use banger_api::operation::{
    Event, EventKind, LoggedOperation, LoggedStep, Operation, OperationState, StageTime,
};
use banger_api::{ApiError, ErrorCode, OperationId, Timestamp};
use banger_ops::store_error;
use banger_store::{JournalStep, OperationRecord, operation};

use super::{Operations, Running};

impl Running {
    fn view(&self) -> Operation {
        let (state, error, finished_at) = match self.outcome() {
            Some((state, error, at)) => (state, error, Some(at)),
            None => (OperationState::Running, None, None),
        };
        Operation {
            id: self.id,
            kind: self.kind,
            vm: self.vm,
            state,
            started_at: self.started_at,
            finished_at,
            error,
            stages: stage_times(&self.since(0)),
        }
    }
}

impl Operations {
    /// An operation as users see it, from memory or from the store.
    ///
    /// # Errors
    /// `not_found`.
    pub fn view(&self, id: OperationId) -> Result<Operation, ApiError> {
        if let Some(running) = self.find(id) {
            return Ok(running.view());
        }
        let record = self
            .store()
            .read(|db| operation::operation(db, id))
            .map_err(store_error)?
            .ok_or_else(|| {
                ApiError::new(ErrorCode::NotFound, format!("there is no operation {id}"))
            })?;
        Ok(view_of(record))
    }

    /// The newest operations with their journals; of one VM, by id or by a name that it had, when `vm` is given.
    ///
    /// # Errors
    /// Only the store's.
    pub fn log(&self, vm: Option<&str>, limit: u32) -> Result<Vec<LoggedOperation>, ApiError> {
        self.store()
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
            .map_err(store_error)
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

fn logged_step(step: JournalStep) -> LoggedStep {
    LoggedStep {
        step: step.name,
        state: step.state,
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
        state: record.state,
        started_at: timestamp(record.started_ms),
        finished_at: record.finished_ms.map(timestamp),
        error: record
            .error
            .and_then(|json| serde_json::from_str(&json).ok()),
        stages: Vec::new(),
    }
}

/// Converts ms since 1970 to a timestamp; a number out of range (a damaged record) becomes 1970.
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}
