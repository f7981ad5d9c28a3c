//! The frames of `get_changes`: a manifest to the guest, then a tar stream of the changes since.
//!
//! ```text
//! host  ── Data… End: the manifest ──► guest
//!       ◄── Data… End: `f/PATH` for each new or changed file or link, `gone` with the names of removed ones, NUL
//!                      behind each, `left` with the ones that no patch can hold ── Done │ TransferFailed
//! ```

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::transfer::{in_time, receive_pieces, send_data, verdict};
use super::{FilesError, Manifest, TransferError};
use crate::limits::{MAX_FRAME, MAX_MANIFEST, TRANSFER_STALL};
use crate::schema::{TransferDone, TransferFailure};
use crate::wire::frame::{self, Frame, FrameError, FrameReader};

/// Prefix of the names of changed files in the stream.
pub const CHANGED: &[u8] = b"f/";
/// Name of the entry that lists removed files.
pub const GONE: &[u8] = b"gone";
/// Name of the entry that lists the paths that no patch can hold, NUL behind each: a letter of [`LeftKind`], and the
/// path. An agent from before this entry does not send it.
pub const LEFT: &[u8] = b"left";

/// Type of a path that no patch can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftKind {
    /// A git repository inside the tree.
    Repository,
    /// A socket, a fifo or a device.
    Special,
}

impl LeftKind {
    /// Its letter.
    pub fn letter(self) -> u8 {
        match self {
            Self::Repository => b'r',
            Self::Special => b's',
        }
    }

    /// From its letter.
    pub fn of(letter: u8) -> Option<Self> {
        [Self::Repository, Self::Special]
            .into_iter()
            .find(|kind| kind.letter() == letter)
    }
}

/// The host's side: sends the manifest, and gives the tar stream of the answer to `take`, on a thread of its own.
///
/// # Errors
/// Fails when `take` fails, the guest cannot read its tree, or the call breaks.
pub async fn ask_changes<S, T>(
    call: S,
    manifest: Vec<u8>,
    take: impl FnOnce(&mut dyn Read) -> Result<T, FilesError> + Send + 'static,
) -> Result<T, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: Send + 'static,
{
    let stall = Some(TRANSFER_STALL);
    let (from, mut to) = tokio::io::split(call);
    let mut frames = FrameReader::new(from);
    {
        let sending = async {
            let manifest = Bytes::from(manifest);
            for start in (0..manifest.len()).step_by(MAX_FRAME) {
                let end = manifest.len().min(start + MAX_FRAME);
                let piece = Frame::Data(manifest.slice(start..end));
                in_time(stall, frame::write(&mut to, &piece)).await?;
            }
            in_time(stall, frame::write(&mut to, &Frame::End)).await
        };
        tokio::pin!(sending);
        tokio::select! {
            biased;
            sent = &mut sending => sent?,
            // The guest sends first only to refuse.
            early = frames.next() => return Err(match verdict(early?) {
                Ok(_done) => TransferError::Unexpected("the guest was done before it was asked"),
                Err(error) => error,
            }),
        }
    }
    let take = move |mut pieces| take(&mut pieces);
    let taken = receive_pieces(&mut frames, stall, take).await?;
    verdict(in_time(stall, frames.next()).await?)?;
    Ok(taken)
}

/// The guest's side: reads the manifest, has `make` write the stream, and reports the result.
///
/// # Errors
/// Fails when the call breaks; errors with the files are reported to the other side.
pub async fn answer_changes<S>(
    call: S,
    make: impl FnOnce(Manifest, &mut dyn Write) -> Result<TransferDone, FilesError> + Send + 'static,
) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from, mut to) = tokio::io::split(call);
    let mut frames = FrameReader::new(from);
    let mut bytes = Vec::new();
    let refused = loop {
        match frames.next().await? {
            Some(Frame::Data(piece)) if bytes.len() + piece.len() <= MAX_MANIFEST => {
                bytes.extend_from_slice(&piece);
            }
            Some(Frame::End) => break None,
            Some(Frame::Data(_)) => break Some("the list of what was sent is too long".to_owned()),
            Some(_) | None => return Ok(()),
        }
    };
    let manifest = match refused {
        None => Manifest::from_bytes(&bytes).map_err(|error| error.to_string()),
        Some(refused) => Err(refused),
    };
    drop(bytes);
    let made = match manifest {
        Ok(manifest) => send_data(&mut to, move |to| make(manifest, to), None).await,
        Err(why) => Err(FilesError::Stream(io::Error::other(why)).into()),
    };
    let last = match made {
        Ok(done) => Frame::Done(done),
        Err(TransferError::Here(error)) => Frame::TransferFailed(error.to_failure()),
        Err(TransferError::Frame(error)) => return Err(error),
        Err(other) => Frame::TransferFailed(TransferFailure {
            path: String::new(),
            message: other.to_string(),
        }),
    };
    frame::write(&mut to, &last).await
}
