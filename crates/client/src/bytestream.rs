//! A body that is read while it arrives, such as a log that is followed.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::error::ClientError;
use crate::transport::{Answer, Connection};

/// The chunks of a body. Dropping it closes the connection.
#[derive(Debug)]
pub struct ByteStream {
    request: String,
    body: Incoming,
    _connection: Connection,
}

impl ByteStream {
    pub(crate) fn new(answer: Answer) -> Self {
        let (request, body, connection) = answer.into_body();
        Self {
            request,
            body,
            _connection: connection,
        }
    }

    /// Method and path of the call, for messages.
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// Number of bytes still to come, when the daemon announced a length.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next bytes, or none at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| ClientError::Http {
                request: self.request.clone(),
                source,
            })?;
            if let Ok(chunk) = frame.into_data() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}
