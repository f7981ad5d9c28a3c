//! Operations, followed by tasks of the runtime.

use std::sync::Arc;

use banger_api::{ApiError, ErrorCode};
use banger_control::{Running, Subscription};
use tokio::sync::watch;

/// Tells a task when an operation has more events.
pub(crate) struct More {
    changed: watch::Receiver<u64>,
    _subscription: Subscription,
}

impl More {
    pub(crate) fn of(running: &Arc<Running>) -> Self {
        let (tell, changed) = watch::channel(0);
        let subscription = running.follow(move |count| {
            tell.send_replace(count);
        });
        Self {
            changed,
            _subscription: subscription,
        }
    }

    /// Marks the events that are there as seen. Events are to be looked at after this.
    pub(crate) fn seen(&mut self) {
        self.changed.borrow_and_update();
    }

    /// Waits for events beyond those that were seen.
    pub(crate) async fn wait(&mut self) {
        // The sender lives as long as the subscription.
        let _ = self.changed.changed().await;
    }
}

/// Waits until an operation has ended.
///
/// # Errors
/// Its failure.
pub(crate) async fn finished(running: &Arc<Running>) -> Result<(), ApiError> {
    let mut more = More::of(running);
    loop {
        more.seen();
        if let Some((_state, error, _at)) = running.outcome() {
            return error.map_or(Ok(()), Err);
        }
        more.wait().await;
    }
}

/// The answer of work that gives it from another thread.
pub(crate) async fn answered<T>(
    answer: tokio::sync::oneshot::Receiver<Result<T, ApiError>>,
) -> Result<T, ApiError> {
    answer.await.unwrap_or_else(|_lost| {
        Err(ApiError::new(
            ErrorCode::Internal,
            "banger failed at this; its log has the details",
        ))
    })
}
