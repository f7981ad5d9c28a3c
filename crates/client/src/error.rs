//! Why a call failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use banger_api::ApiError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens on the socket, or it may not be opened.
    #[error("cannot connect to the daemon at {socket}")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What connect(2) said.
        #[source]
        source: io::Error,
    },
    /// Somebody else listens where the daemon should.
    #[error("{socket} is served by user {uid}, who is neither you nor root")]
    Stranger {
        /// The socket.
        socket: PathBuf,
        /// Whose process listens there.
        uid: u32,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("lost the daemon during {request}")]
    Http {
        /// Method and path of the call.
        request: String,
        /// What went wrong.
        #[source]
        source: hyper::Error,
    },
    /// The call cannot be written as HTTP.
    #[error("{request} is not a valid request")]
    Request {
        /// Method and path of the call.
        request: String,
        /// What is wrong with it.
        #[source]
        source: hyper::http::Error,
    },
    /// The body of the call cannot be written as JSON.
    #[error("cannot write the body of {request}")]
    Encode {
        /// Method and path of the call.
        request: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon did not answer in time.
    #[error("the daemon did not answer {request} within {} s", after.as_secs())]
    Late {
        /// Method and path of the call.
        request: String,
        /// How long the client waited.
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
    /// An answer is not what the API says.
    #[error("cannot read the daemon's answer to {request}")]
    Decode {
        /// Method and path of the call.
        request: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// An event stream is not what the API says.
    #[error("cannot read the events of {request}")]
    Events {
        /// Method and path of the call.
        request: String,
        /// What is wrong with them.
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
    /// Nothing listens on the socket: a daemon may be started and the call tried again, for it reached nobody.
    pub fn is_no_daemon(&self) -> bool {
        matches!(self, Self::Connect { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
    }
}
