//! When the same is asked for again.

use std::time::Duration;

use crate::error::RegistryError;
use crate::http::Patience;

/// How often something is tried that gets no further.
const TRIES: u32 = 5;
/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(10);

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

    /// It got further: what failed before does not count any more.
    pub(crate) fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next try, or gives the error back: it will not pass, or has not.
    pub(crate) async fn pause(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.failed += 1;
        if !error.is_transient() || self.failed >= TRIES {
            return Err(error);
        }
        let doubled = self.first.saturating_mul(1 << (self.failed - 1).min(16));
        tracing::debug!(%error, tries = self.failed, "asking again");
        tokio::time::sleep(doubled.min(MAX_PAUSE)).await;
        Ok(())
    }
}
