//! Errors between host and guest.

use std::sync::Arc;
use std::time::Duration;

use crate::schema::Failure;
use crate::wire::frame::FrameError;
use crate::wire::handshake::HandshakeError;
use crate::wire::message::MessageError;

/// Cause of the end of a conversation with a guest.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    /// The host dropped the conversation.
    #[error("the host closed the channel")]
    HostClosed,
    /// The guest, or its engine, closed the channel.
    #[error("the guest closed the channel")]
    GuestClosed,
    /// The agent has ended, and its guest did not start it again.
    #[error("the guest's agent is gone")]
    AgentGone,
    /// The guest violated the multiplexer's protocol.
    #[error("the guest broke the protocol")]
    Protocol(#[source] yamux::ConnectionError),
    /// The guest stopped reading: so many dropped calls wait for it that it counts as dead.
    #[error("the guest stopped reading")]
    Stalled,
    /// The guest opened a stream: only the host may do so.
    #[error("the guest tried to open a call to the host")]
    GuestOpenedCall,
    /// The guest sent more unrequested bytes than an honest guest ever does.
    #[error("the guest sent {received} bytes that belong to no call")]
    Flood {
        /// Their cost to this conversation: their bytes, and the work for each frame.
        received: u64,
    },
}

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The conversation did not begin.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The system gave no random bytes for the nonce.
    #[error("no random bytes for the handshake")]
    Random(#[source] std::io::Error),
    /// The conversation is over.
    #[error("call {call} to the guest: {end}")]
    Session {
        /// The call.
        call: &'static str,
        /// Cause of the end.
        #[source]
        end: Arc<SessionEnd>,
    },
    /// No answer in time. The guest may still be working on it.
    #[error("call {call} to the guest was not answered within {:.1} s", .after.as_secs_f64())]
    Deadline {
        /// The call.
        call: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// Too many calls at once.
    #[error(
        "call {call} to the guest: {} calls are open already",
        crate::limits::MAX_CALLS
    )]
    TooManyCalls {
        /// The call.
        call: &'static str,
    },
    /// The request could not be sent, or the answer is too long or malformed.
    #[error("call {call} to the guest")]
    Message {
        /// The call.
        call: &'static str,
        /// The problem.
        source: MessageError,
    },
    /// A frame of the guest is malformed or out of place.
    #[error("call {call} to the guest")]
    Frame {
        /// The call.
        call: &'static str,
        /// The problem.
        source: FrameError,
    },
    /// The guest refused, or failed to do, the call.
    #[error("guest: {failure}")]
    Failed {
        /// The call.
        call: &'static str,
        /// Its cause.
        failure: Failure,
    },
}
