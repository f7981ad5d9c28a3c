//! Events of the whole installation: each change of a VM, an operation, an image or a kernel, in the order in which it was
//! written down.
//!
//! An event is written in the transaction of its change, so there is none without the other, whatever is killed when. It has a
//! cursor: whoever comes back with the cursor of the last event that it has seen gets the next one, from the same daemon, from
//! another one, or after a reboot.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::ids::{OperationId, VmId};
use crate::operation::{OperationKind, OperationState};
use crate::time::Timestamp;
use crate::vm::VmState;

/// Longest identity of a log, in characters.
const LOG_MAX: usize = 32;

/// Place in the log of events: the log's identity and the number of an event in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventCursor {
    /// Identity of the log. Another store has another one.
    pub log: String,
    /// Number of an event, from 1; 0 is the place before the first.
    pub seq: u64,
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.log, self.seq)
    }
}

/// A text that is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a cursor: one looks like \"3f9ac210-42\"")]
pub struct InvalidCursor {
    /// Its start.
    text: String,
}

impl FromStr for EventCursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let invalid = || InvalidCursor {
            text: text.chars().take(2 * LOG_MAX).collect(),
        };
        let (log, seq) = text.rsplit_once('-').ok_or_else(invalid)?;
        let known = !log.is_empty()
            && log.len() <= LOG_MAX
            && log.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = seq.bytes().all(|byte| byte.is_ascii_digit());
        match (known && digits, seq.parse()) {
            (true, Ok(seq)) => Ok(Self {
                log: log.to_owned(),
                seq,
            }),
            _ => Err(invalid()),
        }
    }
}

impl Serialize for EventCursor {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventCursor {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Place from which events are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsAfter {
    /// The first event that is kept.
    Start,
    /// The next event.
    Now,
    /// The event after this place.
    Cursor(EventCursor),
}

impl fmt::Display for EventsAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Now => f.write_str("now"),
            Self::Cursor(cursor) => cursor.fmt(f),
        }
    }
}

impl FromStr for EventsAfter {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        Ok(match text {
            "start" => Self::Start,
            "now" => Self::Now,
            cursor => Self::Cursor(cursor.parse()?),
        })
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SystemEvent {
    /// Its place in the log.
    #[schema(value_type = String, example = "3f9ac210-42")]
    pub cursor: EventCursor,
    /// Time of the change.
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
}

/// A change. A client of an older build reads one that it does not know as [`Unknown`](Self::Unknown).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// A VM was made.
    VmCreated {
        /// Its id.
        vm: VmId,
        /// Its name.
        name: String,
        /// Its state.
        state: VmState,
    },
    /// A VM has another state.
    VmState {
        /// Its id.
        vm: VmId,
        /// Its name.
        name: String,
        /// Its state before.
        from: VmState,
        /// Its state now.
        to: VmState,
        /// Cause of the state `error`, or of the last end by itself.
        error: Option<String>,
    },
    /// A VM has another name.
    VmRenamed {
        /// Its id.
        vm: VmId,
        /// Its name.
        name: String,
        /// Its name before.
        before: String,
    },
    /// A VM is gone.
    VmDeleted {
        /// The id that it had.
        vm: VmId,
        /// The name that it had.
        name: String,
    },
    /// An operation began.
    OperationBegan {
        /// Its id.
        operation: OperationId,
        /// Kind of the operation.
        kind: OperationKind,
        /// The VM that it concerns.
        vm: Option<VmId>,
        /// Name of that VM.
        name: Option<String>,
    },
    /// An operation ended.
    OperationEnded {
        /// Its id.
        operation: OperationId,
        /// Kind of the operation.
        kind: OperationKind,
        /// The VM that it concerns.
        vm: Option<VmId>,
        /// Name of that VM when the operation began.
        name: Option<String>,
        /// Its outcome.
        state: OperationState,
        /// Cause of its failure.
        error: Option<ApiError>,
    },
    /// A name stands for an image.
    ImageAdded {
        /// The name.
        image: String,
        /// Digest of the image.
        digest: String,
    },
    /// A name does not stand for an image any more.
    ImageRemoved {
        /// The name.
        image: String,
        /// Digest of the image.
        digest: String,
    },
    /// A name stands for a kernel.
    KernelAdded {
        /// The name.
        kernel: String,
        /// Digest of the kernel.
        digest: String,
    },
    /// A name does not stand for a kernel any more.
    KernelRemoved {
        /// The name.
        kernel: String,
        /// Digest of the kernel.
        digest: String,
    },
    /// Events between the cursor that was asked for and this one are not kept any more.
    EventsForgotten,
    /// A change that only another build knows.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_writes_and_refuses_everything_else() {
        let cursor: EventCursor = "3f9ac210-42".parse().unwrap();
        assert_eq!((cursor.log.as_str(), cursor.seq), ("3f9ac210", 42));
        assert_eq!(cursor.to_string(), "3f9ac210-42");
        let long = format!("{}-1", "a".repeat(LOG_MAX + 1));
        let over = format!("ab-{}0", u64::MAX);
        for bad in [
            "", "-", "42", "ab-", "-4", "zz-4", "ab-+4", "ab-4x", "ab--4", &long, &over,
        ] {
            assert!(bad.parse::<EventCursor>().is_err(), "{bad:?}");
        }
        assert_eq!("now".parse(), Ok(EventsAfter::Now));
        assert_eq!("start".parse(), Ok(EventsAfter::Start));
        assert!("end".parse::<EventsAfter>().is_err());
    }

    #[test]
    fn a_change_that_only_another_build_knows_is_read_as_unknown() {
        let text = r#"{"cursor":"ab-1","at":"2026-01-01T00:00:00Z","event":"party","guests":3}"#;
        let event: SystemEvent = serde_json::from_str(text).unwrap();
        assert_eq!(event.change, Change::Unknown);
    }
}
