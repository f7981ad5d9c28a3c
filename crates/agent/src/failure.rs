//! Failures of parts and checks, as the host is told of them.

use banger_guest::{Failure, FailureKind};

/// A failure of one part and check.
pub fn failure(
    part: impl Into<String>,
    check: impl Into<String>,
    cause: impl std::fmt::Display,
) -> Failure {
    Failure {
        part: part.into(),
        check: check.into(),
        message: cause.to_string(),
        kind: FailureKind::Other,
    }
}

/// Runs `work` on a thread that may block. A panic there is a failure of the agent.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(failure("agent", "stay alive", error)))
}

/// An error and its causes in one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
