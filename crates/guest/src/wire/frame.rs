//! Frames of the streaming calls: `u8` kind, `u32` big-endian length, payload of at most [`MAX_FRAME`] bytes.
//!
//! ```text
//!            host → guest                     guest → host
//!  exec      Stdin* StdinEof  (Resize|Signal)*    Started (Stdout|Stderr)* Exit   or   Failed
//!   reports                                       StdinTaken first; (StdinTaken|SignalTaken)* TimedOut in between
//!  attach                                         Started (Stdout|Stderr)* Exit   or   Failed
//!  put       Data* End                             Done   or   TransferFailed (at any time)
//!  get                                             Data* End Done   or   TransferFailed (at any time)
//! ```
//!
//! In an exec call the host keeps its writing direction open until it has read `Exit` or `Failed`: `StdinEof` ends the
//! input, while the end of the direction means that the host's caller is gone, and ends the command. An empty `Stdout`
//! has no meaning; the guest sends it to find out whether the host still listens.
//!
//! Reports are sent only on request (`ExecRequest::reports`), and `StdinTaken` before any other frame: a host that
//! does not see it there talks to an older agent.
//!
//! This module is independent of yamux: the daemon passes these bytes to its clients unchanged, and they decode them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::MAX_FRAME;
use crate::schema::{ExecFailure, ExitStatus, TransferDone, TransferFailure};

/// Bytes before the payload.
pub const FRAME_HEADER: usize = 5;

/// One frame. Lengths and kinds are checked; the caller decides on the kinds that its call allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Input of the command.
    Stdin(Bytes),
    /// End of the input.
    StdinEof,
    /// New size of the terminal.
    Resize {
        /// Height, in characters.
        rows: u16,
        /// Width, in characters.
        cols: u16,
    },
    /// A signal for the command's process group.
    Signal(u8),
    /// The command runs.
    Started {
        /// Its process id in the guest.
        pid: u32,
    },
    /// Output.
    Stdout(Bytes),
    /// Error output; never with a terminal.
    Stderr(Bytes),
    /// The command ended and all its output was sent.
    Exit(ExitStatus),
    /// The command was not started.
    Failed(ExecFailure),
    /// Total bytes of standard input that the command has read or that were dropped.
    StdinTaken(u64),
    /// This signal reached the command's process group.
    SignalTaken(u8),
    /// The command's time limit is over: it is being ended.
    TimedOut,
    /// A piece of a tar stream.
    Data(Bytes),
    /// End of the tar stream.
    End,
    /// The transfer is complete.
    Done(TransferDone),
    /// The transfer failed.
    TransferFailed(TransferFailure),
}

/// A frame that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Its payload is longer than [`MAX_FRAME`].
    #[error("frame of {0} bytes is longer than the {MAX_FRAME} allowed")]
    TooLong(usize),
    /// Its kind is unknown.
    #[error("frame of unknown kind {0}")]
    UnknownKind(u8),
    /// The payload does not have the length that its kind has.
    #[error("frame of kind {kind} has a payload of {len} bytes")]
    WrongLength {
        /// The kind.
        kind: u8,
        /// Length of the payload in bytes.
        len: usize,
    },
    /// The payload is not the JSON that its kind has.
    #[error("frame of kind {kind} does not hold what it should")]
    Invalid {
        /// The kind.
        kind: u8,
        /// The problem.
        source: serde_json::Error,
    },
    /// The stream ended inside a frame.
    #[error("stream ended inside a frame")]
    Truncated,
    /// The stream failed.
    #[error("frame could not be transferred")]
    Io(#[from] std::io::Error),
}

mod kind {
    pub const STDIN: u8 = 1;
    pub const STDIN_EOF: u8 = 2;
    pub const RESIZE: u8 = 3;
    pub const SIGNAL: u8 = 4;
    pub const STARTED: u8 = 16;
    pub const STDOUT: u8 = 17;
    pub const STDERR: u8 = 18;
    pub const EXIT: u8 = 19;
    pub const FAILED: u8 = 20;
    pub const STDIN_TAKEN: u8 = 21;
    pub const SIGNAL_TAKEN: u8 = 22;
    pub const TIMED_OUT: u8 = 23;
    pub const DATA: u8 = 32;
    pub const END: u8 = 33;
    pub const DONE: u8 = 34;
    pub const TRANSFER_FAILED: u8 = 35;
}

impl Frame {
    /// Appends the frame's bytes.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when the payload is; nothing is appended then.
    pub fn encode(&self, to: &mut BytesMut) -> Result<(), FrameError> {
        match self {
            Self::Stdin(bytes) => put(to, kind::STDIN, bytes),
            Self::StdinEof => put(to, kind::STDIN_EOF, &[]),
            Self::Resize { rows, cols } => {
                let [a, b] = rows.to_be_bytes();
                let [c, d] = cols.to_be_bytes();
                put(to, kind::RESIZE, &[a, b, c, d])
            }
            Self::Signal(signal) => put(to, kind::SIGNAL, &[*signal]),
            Self::Started { pid } => put(to, kind::STARTED, &pid.to_be_bytes()),
            Self::Stdout(bytes) => put(to, kind::STDOUT, bytes),
            Self::Stderr(bytes) => put(to, kind::STDERR, bytes),
            Self::Exit(status) => put_json(to, kind::EXIT, status),
            Self::Failed(failure) => put_json(to, kind::FAILED, failure),
            Self::StdinTaken(bytes) => put(to, kind::STDIN_TAKEN, &bytes.to_be_bytes()),
            Self::SignalTaken(signal) => put(to, kind::SIGNAL_TAKEN, &[*signal]),
            Self::TimedOut => put(to, kind::TIMED_OUT, &[]),
            Self::Data(bytes) => put(to, kind::DATA, bytes),
            Self::End => put(to, kind::END, &[]),
            Self::Done(done) => put_json(to, kind::DONE, done),
            Self::TransferFailed(failure) => put_json(to, kind::TRANSFER_FAILED, failure),
        }
    }

    /// The frame's bytes.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when the payload is.
    pub fn to_bytes(&self) -> Result<Bytes, FrameError> {
        let mut bytes = BytesMut::new();
        self.encode(&mut bytes)?;
        Ok(bytes.freeze())
    }

    fn from_parts(kind: u8, payload: Bytes) -> Result<Self, FrameError> {
        let wrong = || FrameError::WrongLength {
            kind,
            len: payload.len(),
        };
        match kind {
            kind::STDIN => Ok(Self::Stdin(payload)),
            kind::STDIN_EOF if payload.is_empty() => Ok(Self::StdinEof),
            kind::RESIZE => match payload[..] {
                [a, b, c, d] => Ok(Self::Resize {
                    rows: u16::from_be_bytes([a, b]),
                    cols: u16::from_be_bytes([c, d]),
                }),
                _ => Err(wrong()),
            },
            kind::SIGNAL => match payload[..] {
                [signal] => Ok(Self::Signal(signal)),
                _ => Err(wrong()),
            },
            kind::STARTED => match payload[..] {
                [a, b, c, d] => Ok(Self::Started {
                    pid: u32::from_be_bytes([a, b, c, d]),
                }),
                _ => Err(wrong()),
            },
            kind::STDOUT => Ok(Self::Stdout(payload)),
            kind::STDERR => Ok(Self::Stderr(payload)),
            kind::EXIT => Ok(Self::Exit(json(kind, &payload)?)),
            kind::FAILED => Ok(Self::Failed(
                json::<ExecFailure>(kind, &payload)?.harmless(),
            )),
            kind::STDIN_TAKEN => match payload.first_chunk() {
                Some(bytes) if payload.len() == bytes.len() => {
                    Ok(Self::StdinTaken(u64::from_be_bytes(*bytes)))
                }
                _ => Err(wrong()),
            },
            kind::SIGNAL_TAKEN => match payload[..] {
                [signal] => Ok(Self::SignalTaken(signal)),
                _ => Err(wrong()),
            },
            kind::TIMED_OUT if payload.is_empty() => Ok(Self::TimedOut),
            kind::DATA => Ok(Self::Data(payload)),
            kind::END if payload.is_empty() => Ok(Self::End),
            kind::DONE => Ok(Self::Done(json(kind, &payload)?)),
            kind::TRANSFER_FAILED => Ok(Self::TransferFailed(
                json::<TransferFailure>(kind, &payload)?.harmless(),
            )),
            kind::STDIN_EOF | kind::END | kind::TIMED_OUT => Err(wrong()),
            _ => Err(FrameError::UnknownKind(kind)),
        }
    }
}

fn put(to: &mut BytesMut, kind: u8, payload: &[u8]) -> Result<(), FrameError> {
    match u32::try_from(payload.len()) {
        Ok(len) if payload.len() <= MAX_FRAME => {
            to.reserve(FRAME_HEADER + payload.len());
            to.put_u8(kind);
            to.put_u32(len);
            to.put_slice(payload);
            Ok(())
        }
        _ => Err(FrameError::TooLong(payload.len())),
    }
}

fn put_json(to: &mut BytesMut, kind: u8, value: &impl serde::Serialize) -> Result<(), FrameError> {
    put(
        to,
        kind,
        &serde_json::to_vec(value).map_err(|source| FrameError::Invalid { kind, source })?,
    )
}

fn json<T: serde::de::DeserializeOwned>(kind: u8, payload: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(|source| FrameError::Invalid { kind, source })
}

/// Kind and payload length of a header.
fn header(bytes: [u8; FRAME_HEADER]) -> Result<(u8, usize), FrameError> {
    let [kind, a, b, c, d] = bytes;
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if len > MAX_FRAME {
        Err(FrameError::TooLong(len))
    } else {
        Ok((kind, len))
    }
}

/// Removes one frame from the front of `from`, if it is complete. For callers that read bytes themselves; they need
/// memory for one frame at most.
///
/// # Errors
/// Fails when the bytes are not a frame. The stream is then useless.
pub fn decode(from: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(head) = from.first_chunk::<FRAME_HEADER>() else {
        return Ok(None);
    };
    let (kind, len) = header(*head)?;
    if from.len() < FRAME_HEADER + len {
        return Ok(None);
    }
    from.advance(FRAME_HEADER);
    Frame::from_parts(kind, from.split_to(len).freeze()).map(Some)
}

/// Sends one frame in one write.
///
/// # Errors
/// Fails when it is too long, or the stream fails.
pub async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> Result<(), FrameError> {
    to.write_all(&frame.to_bytes()?).await?;
    to.flush().await?;
    Ok(())
}

/// Reads frames from a stream. [`FrameReader::next`] may be dropped and called again without losing bytes.
#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    bytes: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of `from`.
    pub fn new(from: R) -> Self {
        Self {
            from,
            bytes: BytesMut::new(),
        }
    }

    /// The next frame, or `None` if the stream ends between two frames.
    ///
    /// # Errors
    /// Fails when the bytes are not frames, or the stream fails or ends inside a frame.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = decode(&mut self.bytes)? {
                return Ok(Some(frame));
            }
            self.bytes.reserve(FRAME_HEADER + 16 * 1024);
            if self.from.read_buf(&mut self.bytes).await? == 0 {
                return if self.bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Truncated)
                };
            }
        }
    }

    /// The stream, with the bytes that were read from it and not yet decoded.
    pub fn into_parts(self) -> (R, BytesMut) {
        (self.from, self.bytes)
    }
}

#[cfg(test)]
mod tests;
