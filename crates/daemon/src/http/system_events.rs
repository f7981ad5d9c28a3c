//! Events of the whole installation, from a cursor on.
//!
//! The store's log is the only source: a follower looks into it again after each write, so that it misses nothing and gets
//! nothing twice, however slow it is. A follower does not keep the daemon from stopping: it comes back with its cursor.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use banger_api::error::ErrorBody;
use banger_api::event::{Change, EventCursor, EventsAfter, SystemEvent};
use banger_api::{ApiError, ErrorCode, Timestamp};
use banger_control::find_vm;
use banger_ops::Cancel;
use banger_store::{Connection, StoreError, event};
use futures::Stream;
use serde::Deserialize;
use tokio::sync::watch;

use super::answer::{Failed, blocking};
use crate::context::Daemon;

/// Events before the next one that are sent to who names no place, and at most.
const LAST_DEFAULT: u32 = 50;
const LAST_MAX: u32 = 10_000;
/// Events that are read at once.
const BATCH: u32 = 256;
/// Header in which a client that comes back names the last event that it has seen (WHATWG HTML, "Server-sent events").
const LAST_EVENT_ID: &str = "last-event-id";

/// Choice of events.
#[derive(Deserialize)]
pub(super) struct Wanted {
    after: Option<String>,
    #[serde(default)]
    follow: bool,
    vm: Option<String>,
    limit: Option<u32>,
}

/// Events of all VMs, operations, images and kernels.
///
/// Without `after`, the last `limit` events come first. `after` is `start`, `now`, or the cursor of an event, which is
/// valid for as long as the store is: over restarts of the daemon and of the host. With `follow` the answer does not end
/// before the daemon does.
#[utoipa::path(get, path = "/v1/events", tag = "system",
    params(("after" = Option<String>, Query), ("follow" = Option<bool>, Query), ("vm" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, content_type = "text/event-stream", body = SystemEvent), (status = "default", body = ErrorBody)))]
pub(super) async fn events(
    State(daemon): State<Daemon>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, Failed> {
    let seen = headers.get(LAST_EVENT_ID).map(|id| {
        let id = id.to_str().unwrap_or_default();
        id.parse().map(EventsAfter::Cursor)
    });
    let named = wanted.after.as_deref().map(str::parse);
    let after = seen.or(named).transpose();
    let after = after.map_err(|error| invalid(error.to_string()))?;
    let follow = wanted.follow.then(|| daemon.written.clone());
    let stop = daemon.stop.clone();
    let reader = blocking(move || Reader::new(daemon, wanted, after)).await?;
    let follower = Follower {
        reader: Some(reader),
        ready: VecDeque::new(),
        follow,
        stop,
    };
    let events = futures::stream::unfold(follower, |mut follower| async move {
        let event = follower.event().await?;
        let json = serde_json::to_string(&event).unwrap_or_default();
        let sent = SseEvent::default().id(event.cursor.to_string()).data(json);
        Some((Ok(sent), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
        .hint("without a place the last events come first; `start` has all that are kept")
}

/// A place in the log.
struct Reader {
    daemon: Daemon,
    vm: Option<String>,
    log: String,
    after: u64,
}

impl Reader {
    fn new(daemon: Daemon, wanted: Wanted, after: Option<EventsAfter>) -> Result<Self, ApiError> {
        // A VM that exists is found by any reference; one that is gone by the name or id that it had.
        let vm = wanted.vm.map(|vm| match find_vm(&daemon.control, &vm) {
            Ok(record) => record.id.to_string(),
            Err(_gone) => vm,
        });
        let (log, oldest, newest) =
            daemon.read(|db| Ok((event::log(db)?, event::oldest(db)?, event::newest(db)?)))?;
        let after = match after {
            None => {
                let last = wanted.limit.unwrap_or(LAST_DEFAULT).min(LAST_MAX);
                daemon.read(|db| event::before_last(db, vm.as_deref(), last))?
            }
            Some(EventsAfter::Start) => oldest - 1,
            Some(EventsAfter::Now) => newest,
            Some(EventsAfter::Cursor(cursor)) => {
                in_this_log(&cursor, &log, newest)?;
                cursor.seq
            }
        };
        Ok(Self {
            daemon,
            vm,
            log,
            after,
        })
    }

    /// The next events, in their order; none when there are none yet.
    fn batch(&mut self) -> Result<Vec<SystemEvent>, ApiError> {
        let (vm, after) = (self.vm.as_deref(), self.after);
        // In this order: an event that is written in between is in the last answer or comes with the next batch.
        let read = |db: &Connection| -> Result<_, StoreError> {
            let (oldest, newest) = (event::oldest(db)?, event::newest(db)?);
            Ok((oldest, newest, event::after(db, after, vm, BATCH)?))
        };
        let (oldest, newest, mut events) = self.daemon.read(read)?;
        let last = events.last().map_or(after, |event| event.cursor.seq);
        self.after = match events.len() < BATCH as usize {
            // Those of other VMs are not looked at again.
            true => newest.max(last),
            false => last,
        };
        if oldest > after + 1 {
            events.insert(0, self.forgotten(oldest - 1));
        }
        Ok(events)
    }

    /// Says that the events up to a number are not kept any more.
    fn forgotten(&self, seq: u64) -> SystemEvent {
        SystemEvent {
            cursor: EventCursor {
                log: self.log.clone(),
                seq,
            },
            at: Timestamp::now(),
            change: Change::EventsForgotten,
        }
    }
}

fn in_this_log(cursor: &EventCursor, log: &str, newest: u64) -> Result<(), ApiError> {
    if cursor.log != log {
        return Err(invalid(format!(
            "cursor {cursor} is of another log: the store has been made anew since"
        )));
    }
    if cursor.seq > newest {
        return Err(invalid(format!(
            "cursor {cursor} is of an event that has not happened"
        )));
    }
    Ok(())
}

struct Follower {
    /// None once a read has failed: that ends the stream.
    reader: Option<Reader>,
    ready: VecDeque<SystemEvent>,
    follow: Option<watch::Receiver<()>>,
    stop: Cancel,
}

impl Follower {
    async fn event(&mut self) -> Option<SystemEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if let Some(written) = &mut self.follow {
                // Whatever is written from here on is seen by the read below, or wakes the wait after it.
                written.mark_unchanged();
            }
            let mut reader = self.reader.take()?;
            let read = blocking(move || Ok((reader.batch()?, reader))).await;
            let (batch, reader) = match read {
                Ok(read) => read,
                Err(Failed(error)) => {
                    tracing::error!(%error, "events cannot be read");
                    return None;
                }
            };
            self.reader = Some(reader);
            self.ready.extend(batch);
            if self.ready.is_empty() {
                let written = self.follow.as_mut()?;
                tokio::select! {
                    changed = written.changed() => changed.ok()?,
                    () = self.stop.cancelled() => return None,
                }
            }
        }
    }
}
