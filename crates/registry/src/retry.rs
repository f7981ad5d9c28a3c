//! Rule for retries.

use std::time::Duration;

use crate::error::RegistryError;
use crate::http::Patience;

/// Failed tries without progress, at most.
const TRIES: u32 = 5;
/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause that a registry may ask for; if it asks for more, the fetch fails and the user learns when to retry.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Counts tries and pauses between them.
#[derive(Debug)]
pub(crate) struct Retry {
    first: Duration,
    failed: u32,
}

impl Retry {
    pub(crate) fn new(patience: &Patience) -> Self {
        Self {
            first: patience.pause,
            failed: 0,
        }
    }

    /// Resets the count of failed tries after progress.
    pub(crate) fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next try, or returns the error if it is permanent or the tries are used up.
    pub(crate) async fn pause(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.failed += 1;
        let again = error.again();
        let is_late = again.is_some_and(|again| again > MAX_WAIT);
        if !error.is_transient() || self.failed >= TRIES || is_late {
            return Err(error);
        }
        let doubled = self.first.saturating_mul(1 << (self.failed - 1).min(16));
        tracing::debug!(%error, tries = self.failed, "asking again");
        let pause = doubled.min(MAX_PAUSE).max(again.unwrap_or_default());
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
