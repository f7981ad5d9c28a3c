//! Errors of the conversation.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::FailureCode;

/// A conversation with a network process that did not go well.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens, or not in time.
    #[error("cannot reach the network process at {}: {source}", path.display())]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("the network process does not answer: {0}")]
    Io(#[from] io::Error),
    /// It ended the conversation.
    #[error("the network process ended the conversation")]
    Ended,
    /// A line is longer than any message.
    #[error("a line is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A line is no message.
    #[error("a line is no message: {0}")]
    Json(#[from] serde_json::Error),
    /// It speaks another version of the protocol.
    #[error("the network process speaks protocol {found}; this banger speaks {min} to {max}")]
    Protocol {
        /// Its version.
        found: u32,
        /// The oldest that is known.
        min: u32,
        /// The newest that is known.
        max: u32,
    },
    /// The memory that came along is no handover of secrets.
    #[error("the memory that came along holds no secrets")]
    Handover,
    /// It is the process of another launch.
    #[error("the network process at the socket is of another launch")]
    OtherLaunch,
    /// It answered with something else than what was asked.
    #[error("the network process answered something else than what was asked")]
    Unexpected,
    /// It refused.
    #[error("the network process refuses: {message}")]
    Refused {
        /// Kind of the refusal.
        code: FailureCode,
        /// Its words.
        message: String,
    },
}
