//! Lines, and the descriptors that go along with them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ControlError;

/// Longest line, bytes: a policy of its largest size fits.
pub const LINE_MAX_BYTES: usize = 2 << 20;
const CHUNK_BYTES: usize = 16 * 1024;

/// Bytes that came and are no whole line yet, and the descriptors that came with them.
#[derive(Debug, Default)]
pub struct LineReader {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl LineReader {
    /// Takes what is there. `Ok(false)`: the other side has ended.
    ///
    /// # Errors
    /// Those of recvmsg(2), `WouldBlock` among them; [`ControlError::TooLong`].
    pub fn fill(&mut self, stream: &UnixStream) -> Result<bool, ControlError> {
        let mut chunk = [0; CHUNK_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut chunk)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
        .map_err(io::Error::from)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                // One a message; a flood of them is closed.
                self.descriptors.extend(descriptors.take(1));
                self.descriptors.truncate(4);
            }
        }
        if received.bytes == 0 {
            return Ok(false);
        }
        self.bytes.extend_from_slice(&chunk[..received.bytes]);
        Ok(true)
    }

    /// The next whole line as a message.
    ///
    /// # Errors
    /// [`ControlError::Json`], with the line taken; [`ControlError::TooLong`].
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ControlError> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return match self.bytes.len() > LINE_MAX_BYTES {
                true => Err(ControlError::TooLong {
                    max: LINE_MAX_BYTES,
                }),
                false => Ok(None),
            };
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// The oldest descriptor that came.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        match self.descriptors.is_empty() {
            true => None,
            false => Some(self.descriptors.remove(0)),
        }
    }
}

/// Writes one message, and lets a descriptor go along.
///
/// # Errors
/// Those of sendmsg(2).
pub fn write_line<T: Serialize>(
    stream: &UnixStream,
    message: &T,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), ControlError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|one| [one]);
    if let Some(descriptors) = &descriptors {
        // The space is made for one.
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL;
    let mut sent = rustix::net::sendmsg(stream, &[IoSlice::new(&line)], &mut ancillary, flags)
        .map_err(io::Error::from)?;
    while sent < line.len() {
        sent += rustix::net::send(stream, &line[sent..], flags).map_err(io::Error::from)?;
    }
    Ok(())
}
