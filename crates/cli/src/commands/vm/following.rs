//! The frames of a detached command, whoever is the daemon meanwhile.
//!
//! ```text
//! open ─► frames ─► skip what was passed on before ─► one stream, as if it had never broken off
//!   ▲                  │ the stream ends without the command's end: the daemon was stopped or replaced
//!   └──────────────────┘
//! ```
//!
//! A command's output is kept in its guest and comes from the beginning each time. Of an output so long that the guest
//! has dropped its beginning in between, a part may be missing.

use banger_client::Client;
use banger_guest::wire::frame::{self, Frame, FrameReader};
use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

use crate::context::Context;
use crate::failure::Failure;

/// How often a stream may break off without anything new in between.
const MAX_BARREN: u32 = 4;

/// Passes the frames of a command on to its end, or until `to` is gone.
///
/// # Errors
/// The VM or the command is not there, or not any more.
pub(super) async fn relay(
    (reference, id, output): (&str, u32, bool),
    to: &mut (impl AsyncWrite + Unpin),
    context: &Context,
) -> Result<(), Failure> {
    let mut passed = Passed::default();
    let mut barren = 0;
    while barren < MAX_BARREN {
        let open = async |client: Client| client.vm_attach(reference, id, output).await;
        let stream = context.session.read(open).await?;
        // The other half stays open: its end would tell the guest that we are gone.
        let (from, _keep) = tokio::io::split(stream);
        let mut frames = FrameReader::new(from);
        let before = passed.bytes;
        passed.begin();
        while let Ok(Some(frame)) = frames.next().await {
            let last = !matches!(
                frame,
                Frame::Stdout(_) | Frame::Stderr(_) | Frame::Started { .. }
            );
            let Some(frame) = passed.rest_of(frame) else {
                continue;
            };
            if frame::write(to, &frame).await.is_err() || last {
                return Ok(());
            }
        }
        barren = if passed.bytes > before { 0 } else { barren + 1 };
    }
    Ok(())
}

/// How much was passed on.
#[derive(Debug, Default)]
struct Passed {
    started: bool,
    bytes: u64,
    /// Of the stream that is read now, what was passed on before.
    skip: u64,
}

impl Passed {
    fn begin(&mut self) {
        self.skip = self.bytes;
    }

    /// What of a frame was not passed on before.
    fn rest_of(&mut self, frame: Frame) -> Option<Frame> {
        match frame {
            Frame::Started { .. } if std::mem::replace(&mut self.started, true) => None,
            Frame::Stdout(bytes) => self.rest(bytes).map(Frame::Stdout),
            Frame::Stderr(bytes) => self.rest(bytes).map(Frame::Stderr),
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

    fn out(text: &'static str) -> Frame {
        Frame::Stdout(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_stream_that_begins_again_goes_on_where_it_broke_off() {
        let mut passed = Passed::default();
        passed.begin();
        assert!(passed.rest_of(Frame::Started { pid: 1 }).is_some());
        assert_eq!(passed.rest_of(out("one")), Some(out("one")));
        assert_eq!(passed.rest_of(out("two")), Some(out("two")));
        passed.begin();
        assert_eq!(passed.rest_of(Frame::Started { pid: 1 }), None);
        // The guest may cut its log elsewhere the second time.
        assert_eq!(passed.rest_of(out("onet")), None);
        let error = Frame::Stderr(Bytes::from_static(b"wo!"));
        let rest = Frame::Stderr(Bytes::from_static(b"!"));
        assert_eq!(passed.rest_of(error), Some(rest));
        assert_eq!(passed.rest_of(out("three")), Some(out("three")));
    }
}
