//! A decoder for server-sent events, as far as the API uses them.
//!
//! Lines end with LF, CR or CRLF; `data:` lines of one event are joined by LF; an empty line ends the event; comments
//! and other fields are skipped (WHATWG HTML, "Server-sent events", 9.2.6). Lines and events have a largest size.

use std::collections::VecDeque;

use crate::limits::{MAX_EVENT_BYTES, MAX_EVENT_LINE_BYTES};

/// Fault of an event stream.
#[derive(Debug, thiserror::Error)]
pub enum SseError {
    /// A line does not end.
    #[error("a line is longer than {MAX_EVENT_LINE_BYTES} bytes")]
    LineTooLong,
    /// An event does not end.
    #[error("an event is larger than {MAX_EVENT_BYTES} bytes")]
    EventTooLarge,
    /// An event's data is not text.
    #[error("an event is not UTF-8")]
    NotText(#[from] std::string::FromUtf8Error),
    /// An event's data is not the JSON of the API.
    #[error("event {text:?} is not one that is known")]
    NotAnEvent {
        /// The start of the data.
        text: String,
        /// Fault of its data.
        #[source]
        source: serde_json::Error,
    },
}

/// Bytes in, the data of whole events out. It holds at most one unfinished line and one unfinished event.
#[derive(Debug, Default)]
pub struct SseDecoder {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    ready: VecDeque<String>,
}

impl SseDecoder {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// A limit is passed, or an event is not text. The decoder is of no use after that.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        for &byte in bytes {
            let second_half = std::mem::take(&mut self.after_cr) && byte == b'\n';
            match byte {
                b'\n' if second_half => {}
                b'\n' => self.end_line()?,
                b'\r' => {
                    self.after_cr = true;
                    self.end_line()?;
                }
                _ if self.line.len() >= MAX_EVENT_LINE_BYTES => return Err(SseError::LineTooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// The data of the next whole event.
    pub fn pop(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        if field == b"data" {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if self.data.len() + value.len() + 1 > MAX_EVENT_BYTES {
                return Err(SseError::EventTooLarge);
            }
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value);
        }
        Ok(())
    }

    fn end_event(&mut self) -> Result<(), SseError> {
        if std::mem::take(&mut self.has_data) {
            let data = std::mem::take(&mut self.data);
            self.ready.push_back(String::from_utf8(data)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(chunks: &[&[u8]]) -> Vec<String> {
        let mut decoder = SseDecoder::default();
        for chunk in chunks {
            decoder.feed(chunk).unwrap();
        }
        std::iter::from_fn(|| decoder.pop()).collect()
    }

    #[test]
    fn an_event_ends_at_the_empty_line() {
        assert_eq!(
            decoded(&[b"data: one\n\ndata:two\n\ndata: three\n"]),
            ["one", "two"]
        );
    }

    #[test]
    fn every_line_ending_is_one_ending_however_it_is_cut() {
        for cut in 0..=21 {
            let text = b"data: a\r\n\r\ndata: b\r\r\n";
            let (head, tail) = text.split_at(cut.min(text.len()));
            assert_eq!(decoded(&[head, tail]), ["a", "b"], "cut at {cut}");
        }
    }

    #[test]
    fn data_lines_of_one_event_are_joined_and_other_fields_are_skipped() {
        let text = b": keep-alive\nid: 7\nevent: x\ndata: a\nretry\ndata: b\ndata\n\n";
        assert_eq!(decoded(&[text]), ["a\nb\n"]);
    }

    #[test]
    fn an_empty_event_is_no_event() {
        assert_eq!(decoded(&[b"\n\n:x\n\nid: 1\n\ndata:\n\n"]), [String::new()]);
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_at_the_limit() {
        let mut decoder = SseDecoder::default();
        decoder.feed(&vec![b'x'; MAX_EVENT_LINE_BYTES]).unwrap();
        assert!(matches!(decoder.feed(b"x"), Err(SseError::LineTooLong)));
    }

    #[test]
    fn an_event_that_does_not_end_is_refused_at_the_limit() {
        let mut decoder = SseDecoder::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; 100_000], b"\n"].concat();
        let result = (0..20).try_for_each(|_| decoder.feed(&line));
        assert!(matches!(result, Err(SseError::EventTooLarge)));
    }

    #[test]
    fn data_that_is_not_text_is_refused() {
        let mut decoder = SseDecoder::default();
        assert!(matches!(
            decoder.feed(b"data: \xff\n\n"),
            Err(SseError::NotText(_))
        ));
    }
}
