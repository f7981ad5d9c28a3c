//! What can go wrong between host and guest.

use std::sync::Arc;
use std::time::Duration;

use crate::schema::Failure;
use crate::wire::frame::FrameError;
use crate::wire::handshake::HandshakeError;
use crate::wire::message::MessageError;

/// Why a conversation with a guest ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    /// The host let go of it.
    #[error("the host closed the channel")]
    HostClosed,
    /// The guest, or its engine, closed the channel.
    #[error("the guest closed the channel")]
    GuestClosed,
    /// The agent has ended, and its guest did not start it again.
    #[error("the guest's agent is gone")]
    AgentGone,
    /// The guest broke the rules of the multiplexer.
    #[error("the guest broke the protocol")]
    Protocol(#[source] yamux::ConnectionError),
    /// So many calls wait for the guest to take even their end that it will never do so.
    #[error("the guest stopped reading")]
    Stalled,
    /// Streams are opened by the host alone.
    #[error("the guest tried to open a call to the host")]
    GuestOpenedCall,
    /// More came that nobody asked for than an honest guest ever sends.
    #[error("the guest sent {received} bytes that belong to no call")]
    Flood {
        /// What they cost in this conversation: their bytes, and the work for each frame.
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
        /// Why.
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
    /// The request could not be sent, or the answer is too long or not what was expected.
    #[error("call {call} to the guest")]
    Message {
        /// The call.
        call: &'static str,
        /// What is wrong.
        source: MessageError,
    },
    /// A frame of the guest is not what was expected.
    #[error("call {call} to the guest")]
    Frame {
        /// The call.
        call: &'static str,
        /// What is wrong.
        source: FrameError,
    },
    /// The guest said no.
    #[error("guest: {failure}")]
    Failed {
        /// The call.
        call: &'static str,
        /// Its reason.
        failure: Failure,
    },
}
