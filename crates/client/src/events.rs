//! Streams of events, as they happen: of one operation, or of the whole installation.

use std::marker::PhantomData;

use banger_api::event::SystemEvent;
use banger_api::operation::Event;
use serde::de::DeserializeOwned;

use crate::bytestream::ByteStream;
use crate::error::ClientError;
use crate::sse::{SseDecoder, SseError};

/// Longest quotation of a bad event in an error, in characters.
const QUOTED: usize = 80;

/// The events of an operation from its first.
pub type OperationEvents = EventStream<Event>;

/// Events of the whole installation, oldest first.
pub type SystemEvents = EventStream<SystemEvent>;

/// Events of one kind. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream<T> {
    stream: ByteStream,
    decoder: SseDecoder,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> EventStream<T> {
    pub(crate) fn new(stream: ByteStream) -> Self {
        Self {
            stream,
            decoder: SseDecoder::default(),
            of: PhantomData,
        }
    }

    /// The next event, or none when the stream ends. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection broke, or the stream holds something other than such an event.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(text) = self.decoder.pop() {
                return parse(&text).map(Some).map_err(|source| self.bad(source));
            }
            let Some(bytes) = self.stream.next().await? else {
                return Ok(None);
            };
            self.decoder
                .feed(&bytes)
                .map_err(|source| self.bad(source))?;
        }
    }

    fn bad(&self, source: SseError) -> ClientError {
        ClientError::Events {
            request: self.stream.request().to_owned(),
            source,
        }
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, SseError> {
    serde_json::from_str(text).map_err(|source| SseError::NotAnEvent {
        text: text.chars().take(QUOTED).collect(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_not_json_is_quoted_in_part() {
        let error = parse::<Event>(&"x".repeat(500)).unwrap_err().to_string();
        assert!(error.contains("xxx") && error.len() < 200, "{error}");
    }

    #[test]
    fn an_event_of_an_unknown_kind_is_an_error_and_no_panic() {
        let text = r#"{"seq":0,"at":"2026-01-01T00:00:00Z","event":"party"}"#;
        assert!(parse::<Event>(text).is_err());
    }
}
