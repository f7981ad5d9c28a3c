//! Output of a detached command, whichever daemon serves it meanwhile.
//!
//! ```text
//! open ─► events ─► skip what was heard before ─► one stream, as if it had never broken off
//!   ▲                  │ the stream ends without the command's end: the daemon was stopped or replaced
//!   └──────────────────┘
//! ```
//!
//! A command's output is kept in its guest and comes from the beginning each time. Of an output so long that the guest
//! has dropped its beginning in between, a part may be missing.

use banger_client::{Client, ExecError, ExecEvent, ExecSession};
use bytes::{Buf as _, Bytes};

use crate::attach::{Source, failure};
use crate::context::Context;
use crate::failure::Failure;

/// Number of times that a stream may break off without anything new in between.
const MAX_BARREN: u32 = 4;

/// A detached command that is heard to its end.
pub(super) struct Following<'a> {
    command: (&'a str, u32, bool),
    context: &'a Context,
    session: Option<ExecSession>,
    passed: Passed,
    /// Number of bytes that were passed on when the stream was opened.
    before: u64,
    barren: u32,
}

impl<'a> Following<'a> {
    /// Of a VM, a number, and with output or without. Nothing is opened yet.
    pub(super) fn new(command: (&'a str, u32, bool), context: &'a Context) -> Self {
        Self {
            command,
            context,
            session: None,
            passed: Passed::default(),
            before: 0,
            barren: 0,
        }
    }

    async fn open(&mut self) -> Result<ExecSession, Failure> {
        let (reference, id, output) = self.command;
        let open = async |client: Client| client.vm_attach(reference, id, output).await;
        let mut session = self.context.session.read(open).await?;
        self.before = self.passed.bytes;
        self.passed.begin();
        match session.started().await {
            // A stream that breaks off at once is opened again as any other.
            Ok(_) | Err(ExecError::Cut | ExecError::Broken(_)) => Ok(session),
            Err(error) => Err(failure(&error).about(reference)),
        }
    }
}

impl Source for Following<'_> {
    async fn next(&mut self) -> Result<ExecEvent, Failure> {
        loop {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.open().await?,
            };
            let error = match session.next().await {
                Ok(event) => {
                    self.session = Some(session);
                    match self.passed.rest_of(event) {
                        Some(event) => return Ok(event),
                        None => continue,
                    }
                }
                Err(error) => error,
            };
            self.barren = match self.passed.bytes > self.before {
                true => 0,
                false => self.barren + 1,
            };
            let broke_off = matches!(error, ExecError::Cut | ExecError::Broken(_));
            if !broke_off || self.barren >= MAX_BARREN {
                return Err(failure(&error));
            }
        }
    }
}

/// Number of bytes that were passed on.
#[derive(Debug, Default)]
struct Passed {
    bytes: u64,
    /// Of the stream that is read now, what was passed on before.
    skip: u64,
}

impl Passed {
    fn begin(&mut self) {
        self.skip = self.bytes;
    }

    /// Part of an event that was not passed on before.
    fn rest_of(&mut self, event: ExecEvent) -> Option<ExecEvent> {
        match event {
            ExecEvent::Stdout(bytes) => self.rest(bytes).map(ExecEvent::Stdout),
            ExecEvent::Stderr(bytes) => self.rest(bytes).map(ExecEvent::Stderr),
            other => Some(other),
        }
    }

    fn rest(&mut self, mut bytes: Bytes) -> Option<Bytes> {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let known = known.min(bytes.len());
        bytes.advance(known);
        self.skip -= known as u64;
        self.bytes += bytes.len() as u64;
        (!bytes.is_empty()).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &'static str) -> ExecEvent {
        ExecEvent::Stdout(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_stream_that_begins_again_goes_on_where_it_broke_off() {
        let mut passed = Passed::default();
        passed.begin();
        assert_eq!(passed.rest_of(out("one")), Some(out("one")));
        assert_eq!(passed.rest_of(out("two")), Some(out("two")));
        passed.begin();
        // The guest may cut its log elsewhere the second time.
        assert_eq!(passed.rest_of(out("onet")), None);
        let error = ExecEvent::Stderr(Bytes::from_static(b"wo!"));
        let rest = ExecEvent::Stderr(Bytes::from_static(b"!"));
        assert_eq!(passed.rest_of(error), Some(rest));
        assert_eq!(passed.rest_of(out("three")), Some(out("three")));
    }
}
