//! Receiver of a running plan's progress.

use banger_api::operation::EventKind;

/// Takes events. Must not block.
pub trait Events: Send + Sync {
    /// One event.
    fn emit(&self, event: EventKind);

    /// A stage began or got further.
    fn stage(&self, stage: &str, detail: &str) {
        self.emit(EventKind::Stage {
            stage: stage.to_owned(),
            detail: (!detail.is_empty()).then(|| detail.to_owned()),
            done: None,
            total: None,
        });
    }

    /// A stage got this far.
    fn progress(&self, stage: &str, detail: &str, done: u64, total: Option<u64>) {
        self.emit(EventKind::Stage {
            stage: stage.to_owned(),
            detail: Some(detail.to_owned()),
            done: Some(done),
            total,
        });
    }

    /// Something that stops nothing and should be known.
    fn warn(&self, message: &str) {
        self.emit(EventKind::Warning {
            message: message.to_owned(),
        });
    }
}

/// Nobody listens.
#[derive(Debug, Clone, Copy)]
pub struct NoEvents;

impl Events for NoEvents {
    fn emit(&self, _event: EventKind) {}
}
