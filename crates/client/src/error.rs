//! Failures of a call.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use banger_api::ApiError;

/// Failure of a call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens on the socket, or it may not be opened.
    #[error("cannot connect to the daemon at {socket}")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Cause of connect(2)'s failure.
        #[source]
        source: io::Error,
    },
    /// A process of another user listens where the daemon should.
    #[error("{socket} is served by user {uid}, who is neither you nor root")]
    Stranger {
        /// The socket.
        socket: PathBuf,
        /// User id of the process that listens there.
        uid: u32,
    },
    /// The connection broke, or the answer was not HTTP.
    #[error("lost the daemon during {request}")]
    Http {
        /// Method and path of the call.
        request: String,
        /// Cause of the failure.
        #[source]
        source: hyper::Error,
    },
    /// The call cannot be written as HTTP.
    #[error("{request} is not a valid request")]
    Request {
        /// Method and path of the call.
        request: String,
        /// Fault of the request.
        #[source]
        source: hyper::http::Error,
    },
    /// The body of the call cannot be written as JSON.
    #[error("cannot write the body of {request}")]
    Encode {
        /// Method and path of the call.
        request: String,
        /// Fault of the value.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon did not answer in time.
    #[error("the daemon did not answer {request} within {} s", after.as_secs())]
    Late {
        /// Method and path of the call.
        request: String,
        /// Time that the client waited.
        after: Duration,
    },
    /// An answer is larger than [`crate::limits`] allow.
    #[error("the daemon's answer to {request} is larger than {limit} bytes")]
    TooLarge {
        /// Method and path of the call.
        request: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// An answer does not follow the API.
    #[error("cannot read the daemon's answer to {request}")]
    Decode {
        /// Method and path of the call.
        request: String,
        /// Fault of the answer.
        #[source]
        source: serde_json::Error,
    },
    /// An event stream does not follow the API.
    #[error("cannot read the events of {request}")]
    Events {
        /// Method and path of the call.
        request: String,
        /// Fault of the stream.
        #[source]
        source: crate::sse::SseError,
    },
    /// The daemon answered with a status that the API does not know here, and without an error of its own.
    #[error("the daemon answered {status} to {request}")]
    Status {
        /// Method and path of the call.
        request: String,
        /// The HTTP status.
        status: u16,
    },
    /// The daemon refused or failed, and says why.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl ClientError {
    /// True when nothing listens on the socket: the call reached no daemon, so the caller may start one and retry.
    pub fn is_no_daemon(&self) -> bool {
        matches!(self, Self::Connect { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
    }
}
