//! Following an operation to its end.
//!
//! ```text
//! start ──► Accepted ──► events ──► progress … Finished ──► Followed, or its error
//!                │  └──► Ctrl-C ──► cancel ──► … Finished(cancelled)      a second Ctrl-C leaves at once
//!                └──► the daemon ends ──► ask the next one how it stands, and follow on
//! ```

use std::time::Duration;

use banger_api::operation::{EventKind, OperationState, StageTime};
use banger_api::vm::Accepted;
use banger_api::{ApiError, ErrorCode, OperationId};
use banger_client::{Client, ClientError, OperationEvents};
use tokio::time::timeout;

use crate::context::Context;
use crate::failure::Failure;
use crate::progress::{Progress, Track};
use crate::signals::{Interrupt, Interrupts};

/// Number of times that the progress is drawn while nothing happens.
const REDRAW: Duration = Duration::from_millis(200);
/// Time that an interrupted request may still take until its operation is known and can be cancelled.
const ANSWER_AFTER_INTERRUPT: Duration = Duration::from_secs(1);
/// Number of times that a lost event stream is opened again before the operation is given up.
const MAX_REATTACHED: u32 = 5;
/// Pause before a lost event stream is opened again: the daemon is being replaced.
const REATTACH_PAUSE: Duration = Duration::from_millis(100);

/// Ways to follow an operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// The daemon cancels the operation when this process dies.
    cancel_on_disconnect: bool,
    /// An interrupt does not cancel it: it is wanted whatever happens.
    wanted: bool,
}

impl How {
    /// The operation is for this process alone: the daemon cancels it when this process dies.
    pub fn cancelled_with_us() -> Self {
        Self {
            cancel_on_disconnect: true,
            ..Self::default()
        }
    }

    /// The operation is wanted whatever happens: an interrupt does not cancel it, a second one leaves it alone.
    pub fn wanted() -> Self {
        Self {
            wanted: true,
            ..Self::default()
        }
    }
}

/// An operation that ended well.
#[derive(Debug, Default)]
pub struct Followed {
    /// Its stages.
    pub stages: Vec<StageTime>,
    /// The user wanted to cancel it, too late.
    pub interrupted: Option<Interrupt>,
}

/// One operation that is being followed.
struct Following<'a> {
    context: &'a Context,
    progress: &'a Progress<'a>,
    track: Track,
    id: OperationId,
    how: How,
    next_seq: u64,
    followed: Followed,
}

/// Asks for an operation. An interrupt before the daemon has answered ends this: when the answer comes in spite of it,
/// [`follow`] finds the interrupt and cancels the operation.
///
/// # Errors
/// No daemon can be started, it refuses, or the user interrupted.
pub async fn start<F>(context: &Context, call: impl Fn(Client) -> F) -> Result<Accepted, Failure>
where
    F: Future<Output = Result<Accepted, ClientError>>,
{
    let mut interrupts = context.interrupts()?;
    let accepted = context.session.change(call);
    tokio::pin!(accepted);
    let by = tokio::select! {
        accepted = &mut accepted => return accepted,
        by = interrupts.next() => by,
    };
    match timeout(ANSWER_AFTER_INTERRUPT, accepted).await {
        Ok(accepted) => accepted,
        Err(_elapsed) => Err(Failure::interrupted_by(by, "interrupted")),
    }
}

/// Follows an operation to its end and shows its progress.
///
/// # Errors
/// The operation failed or was cancelled, or cannot be followed any more.
pub async fn follow(
    context: &Context,
    progress: &Progress<'_>,
    id: OperationId,
    label: Option<&str>,
    how: How,
) -> Result<Followed, Failure> {
    let interrupts = context.interrupts()?;
    let track = progress.begin(label);
    let following = Following {
        context,
        progress,
        track,
        id,
        how,
        next_seq: 0,
        followed: Followed::default(),
    };
    let result = following.until_its_end(interrupts).await;
    progress.end(track);
    result
}

impl Following<'_> {
    async fn until_its_end(mut self, mut interrupts: Interrupts) -> Result<Followed, Failure> {
        for _ in 0..MAX_REATTACHED {
            let id = self.id;
            if let Some(events) = self.open().await?
                && let Some((state, error)) = self.events(events, &mut interrupts).await?
            {
                return self.finished(state, error);
            }
            let operation = self
                .context
                .session
                .read(|client| async move { client.operation(id).await })
                .await?;
            if operation.state != OperationState::Running {
                self.followed.stages = operation.stages;
                return self.finished(operation.state, operation.error);
            }
            tokio::time::sleep(REATTACH_PAUSE).await;
        }
        Err(ApiError::new(
            ErrorCode::Internal,
            "lost the daemon again and again while following an operation",
        )
        .of_operation(self.id)
        .hint("banger daemon status says whether it runs")
        .into())
    }

    /// Its events, or none when it has ended already.
    async fn open(&self) -> Result<Option<OperationEvents>, Failure> {
        let (id, cancel) = (self.id, self.how.cancel_on_disconnect);
        let opened = self
            .context
            .session
            .read(|client| async move { client.operation_events(id, cancel).await })
            .await;
        match opened {
            Ok(events) => Ok(Some(events)),
            Err(failure) if failure.is(ErrorCode::NotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Takes events until the operation ends, or the stream does.
    async fn events(
        &mut self,
        mut events: OperationEvents,
        interrupts: &mut Interrupts,
    ) -> Result<Option<(OperationState, Option<ApiError>)>, Failure> {
        let mut redraw = tokio::time::interval(REDRAW);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                by = interrupts.next() => {
                    self.interrupted(by).await?;
                    continue;
                }
                _ = redraw.tick() => {
                    self.progress.draw();
                    continue;
                }
            };
            // A broken stream and an ended one are the same: the next daemon knows how the operation stands.
            let Ok(Some(event)) = event else {
                return Ok(None);
            };
            if event.seq < self.next_seq {
                continue;
            }
            self.next_seq = event.seq.saturating_add(1);
            self.progress.event(self.track, &event.kind);
            match event.kind {
                EventKind::StageDone { stage, us } => {
                    self.followed.stages.push(StageTime { stage, us });
                }
                EventKind::Finished { state, error } => return Ok(Some((state, error))),
                EventKind::Stage { .. } | EventKind::Warning { .. } => {}
            }
        }
    }

    async fn interrupted(&mut self, by: Interrupt) -> Result<(), Failure> {
        if self.followed.interrupted.is_some() {
            let why = match self.how.wanted {
                true => "left at once; the daemon goes on",
                false => "left at once; the daemon goes on undoing what was begun",
            };
            return Err(Failure::interrupted_by(by, why));
        }
        self.followed.interrupted = Some(by);
        if self.how.wanted {
            self.context
                .output
                .note("finishing; once more to leave at once");
            return Ok(());
        }
        self.context
            .output
            .note("cancelling; once more to leave at once");
        let cancelled = self
            .context
            .session
            .client()
            .cancel_operation(self.id)
            .await;
        if let Err(error) = cancelled {
            // It may have ended just now: the events tell.
            if self.context.output.verbose() {
                self.context.output.warn(&crate::failure::chain(&error));
            }
        }
        Ok(())
    }

    fn finished(self, state: OperationState, error: Option<ApiError>) -> Result<Followed, Failure> {
        match (state, error) {
            (OperationState::Done, _) => Ok(self.followed),
            (OperationState::Cancelled, None) => {
                let by = self.followed.interrupted.unwrap_or_default();
                Err(Failure::interrupted_by(by, "interrupted"))
            }
            (_, Some(error)) => Err(error.into()),
            (state, None) => Err(ApiError::new(
                ErrorCode::Internal,
                format!("the operation ended as {state:?} without saying why"),
            )
            .of_operation(self.id)
            .into()),
        }
    }
}
