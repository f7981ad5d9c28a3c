//! Operations: looking, following, cancelling.
//!
//! A follower gets every event from the first on, then each new one. One that asked for it cancels the operation by going
//! away: that is how Ctrl-C, a closed terminal and a killed client end what they have started.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use banger_api::error::ErrorBody;
use banger_api::operation::{Event, EventKind, LoggedOperation, Operation};
use banger_api::{ApiError, ErrorCode, OperationId};
use banger_control::{Running, find_vm};
use futures::Stream;
use serde::Deserialize;

use super::answer::{Answer, Failed, answer};
use crate::context::Daemon;
use crate::following::More;

/// Choice of operations.
#[derive(Deserialize)]
pub(super) struct LogQuery {
    vm: Option<String>,
    limit: Option<u32>,
}

/// Operations that a log shows when it is not told how many, and at most.
const LOG_DEFAULT: u32 = 50;
const LOG_MAX: u32 = 10_000;

/// Operations, newest first.
#[utoipa::path(get, path = "/v1/operations", tag = "operations",
    params(("vm" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, body = Vec<LoggedOperation>), (status = "default", body = ErrorBody)))]
pub(super) async fn log(
    State(daemon): State<Daemon>,
    Query(query): Query<LogQuery>,
) -> Answer<Vec<LoggedOperation>> {
    answer(move || {
        let limit = query.limit.unwrap_or(LOG_DEFAULT).min(LOG_MAX);
        // A VM that exists is found by any reference; one that is gone by the name or id that it had.
        let found = query.vm.map(|vm| match find_vm(&daemon.control, &vm) {
            Ok(record) => record.id.to_string(),
            Err(_gone) => vm,
        });
        daemon.control.operations().log(found.as_deref(), limit)
    })
    .await
}

/// One operation.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = "default", body = ErrorBody)))]
pub(super) async fn show(
    State(daemon): State<Daemon>,
    Path(id): Path<String>,
) -> Answer<Operation> {
    let id = parse(&id)?;
    answer(move || daemon.control.operations().view(id)).await
}

/// Cancel an operation.
#[utoipa::path(post, path = "/v1/operations/{id}/cancel", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = "default", body = ErrorBody)))]
pub(super) async fn cancel(
    State(daemon): State<Daemon>,
    Path(id): Path<String>,
) -> Answer<Operation> {
    let id = parse(&id)?;
    if let Some(running) = daemon.control.operations().find(id) {
        running.cancel();
    }
    answer(move || daemon.control.operations().view(id)).await
}

fn parse(id: &str) -> Result<OperationId, ApiError> {
    id.parse().map_err(|_error| {
        ApiError::new(
            ErrorCode::InvalidArgument,
            format!("\"{id}\" is not an operation's id"),
        )
    })
}

/// Options of following.
#[derive(Deserialize)]
pub(super) struct Follow {
    #[serde(default)]
    cancel_on_disconnect: bool,
}

/// Follow an operation.
#[utoipa::path(get, path = "/v1/operations/{id}/events", tag = "operations",
    params(("id" = String, Path), ("cancel_on_disconnect" = Option<bool>, Query)),
    responses((status = 200, content_type = "text/event-stream", body = Event), (status = "default", body = ErrorBody)))]
pub(super) async fn follow(
    State(daemon): State<Daemon>,
    Path(id): Path<String>,
    Query(follow): Query<Follow>,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, Failed> {
    let id = parse(&id)?;
    let running = daemon.control.operations().find(id).ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            format!("operation {id} is not running any more"),
        )
        .hint("GET /v1/operations/{id} has its outcome")
    })?;
    let follower = Follower {
        more: More::of(&running),
        running,
        next: 0,
        ready: VecDeque::new(),
        ended: false,
        cancel: follow.cancel_on_disconnect,
    };
    let events = futures::stream::unfold(follower, |mut follower| async move {
        let event = follower.event().await?;
        let json = serde_json::to_string(&event).unwrap_or_default();
        Some((Ok(SseEvent::default().data(json)), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Follower {
    running: Arc<Running>,
    more: More,
    /// Number of the first event that was not taken yet.
    next: u64,
    ready: VecDeque<Event>,
    ended: bool,
    /// Cancel the operation when the follower goes before the end.
    cancel: bool,
}

impl Follower {
    async fn event(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        loop {
            self.more.seen();
            if self.ready.is_empty() {
                self.ready.extend(self.running.since(self.next));
            }
            if let Some(event) = self.ready.pop_front() {
                self.next = event.seq + 1;
                self.ended = matches!(event.kind, EventKind::Finished { .. });
                return Some(event);
            }
            self.more.wait().await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.cancel && !self.ended {
            self.running.cancel();
        }
    }
}
