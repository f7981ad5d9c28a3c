//! Tar streams over the frames of a call. Packing and unpacking block, so they run on a thread of their own with a
//! short queue between; the call is read and written by the task.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{FilesError, PackOptions, Target, TransferError, UnpackLimits, pack, unpack};
use crate::limits::{MAX_FRAME, MAX_GUEST_TEXT};
use crate::schema::{TransferDone, TransferFailure};
use crate::wire::frame::{self, Frame, FrameError, FrameReader};

/// Pieces of at most one frame that wait between thread and task.
const QUEUE: usize = 8;

/// The host's side of `put_files`: packs `path` into the call and waits for the guest's word.
///
/// # Errors
/// When packing fails here, placing fails there, or the call breaks.
pub async fn upload<S>(
    call: S,
    path: PathBuf,
    options: PackOptions,
) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from, mut to) = tokio::io::split(call);
    let mut frames = FrameReader::new(from);
    let sent = {
        let sending = send_data(&mut to, path, options);
        tokio::pin!(sending);
        tokio::select! {
            // The guest speaks first only to refuse.
            early = frames.next() => return verdict(early?),
            sent = &mut sending => sent,
        }
    };
    match sent {
        Ok(_done) => {}
        Err(TransferError::Here(error)) => {
            // The guest need not wait for the rest; that it may be gone too changes nothing.
            let _ = frame::write(&mut to, &Frame::TransferFailed(error.to_failure())).await;
            return Err(error.into());
        }
        // It stopped reading. Perhaps it said why.
        Err(error) => return frames.next().await.map_or(Err(error), verdict),
    }
    verdict(frames.next().await?)
}

fn verdict(frame: Option<Frame>) -> Result<TransferDone, TransferError> {
    match frame {
        Some(Frame::Done(done)) => Ok(done),
        Some(Frame::TransferFailed(failure)) => Err(TransferError::There(shortened(failure))),
        Some(_) => Err(TransferError::Unexpected("a frame that has no place in it")),
        None => Err(TransferError::Unexpected(
            "the guest ended it without a word",
        )),
    }
}

/// The host's side of `get_files`: unpacks what the guest sends.
///
/// # Errors
/// When packing fails there, placing fails here, or the call breaks.
pub async fn download<S>(
    call: S,
    target: Target,
    limits: UnpackLimits,
) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = FrameReader::new(call);
    let here = receive_data(&mut frames, target, limits).await?;
    match verdict(frames.next().await?)? {
        there if there.entries == here.entries && there.bytes == here.bytes => Ok(there),
        _ => Err(TransferError::Unexpected(
            "the guest counted other files than came",
        )),
    }
}

/// The guest's side of `put_files`: unpacks, and tells how it went.
///
/// # Errors
/// When the call breaks; what goes wrong with the files is told to the other side.
pub async fn receive<S>(call: S, target: Target) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from, mut to) = tokio::io::split(call);
    let mut frames = FrameReader::new(from);
    let last = match receive_data(&mut frames, target, UnpackLimits::default()).await {
        Ok(done) => Frame::Done(done),
        Err(TransferError::Here(error)) => Frame::TransferFailed(error.to_failure()),
        Err(TransferError::Frame(error)) => return Err(error),
        Err(TransferError::There(_) | TransferError::Unexpected(_)) => return Ok(()),
    };
    frame::write(&mut to, &last).await
}

/// The guest's side of `get_files`: packs, and tells how it went.
///
/// # Errors
/// When the call breaks; what goes wrong with the files is told to the other side.
pub async fn send<S>(mut call: S, path: PathBuf, options: PackOptions) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let last = match send_data(&mut call, path, options).await {
        Ok(done) => Frame::Done(done),
        Err(TransferError::Here(error)) => Frame::TransferFailed(error.to_failure()),
        Err(TransferError::Frame(error)) => return Err(error),
        Err(TransferError::There(_) | TransferError::Unexpected(_)) => return Ok(()),
    };
    frame::write(&mut call, &last).await
}

/// Data frames and the end mark.
async fn send_data(
    to: &mut (impl AsyncWrite + Unpin),
    path: PathBuf,
    options: PackOptions,
) -> Result<TransferDone, TransferError> {
    let (queue, mut pieces) = mpsc::channel(QUEUE);
    let packing =
        tokio::task::spawn_blocking(move || pack(&path, &options, PieceWriter::new(queue)));
    while let Some(piece) = pieces.recv().await {
        frame::write(to, &Frame::Data(piece)).await?;
    }
    let done = joined(packing).await?;
    frame::write(to, &Frame::End).await?;
    Ok(done)
}

/// Data frames up to and including the end mark.
async fn receive_data<R: AsyncRead + Unpin>(
    frames: &mut FrameReader<R>,
    target: Target,
    limits: UnpackLimits,
) -> Result<TransferDone, TransferError> {
    let (queue, pieces) = mpsc::channel(QUEUE);
    let unpacking =
        tokio::task::spawn_blocking(move || unpack(PieceReader::new(pieces), &target, &limits));
    let mut ended = Ok(());
    loop {
        match frames.next().await {
            Ok(Some(Frame::Data(piece))) => {
                if queue.send(piece).await.is_err() {
                    // Unpacking failed and says why below.
                    break;
                }
            }
            Ok(Some(Frame::End)) => break,
            Ok(Some(Frame::TransferFailed(failure))) => {
                ended = Err(TransferError::There(shortened(failure)));
                break;
            }
            Ok(Some(_)) => {
                ended = Err(TransferError::Unexpected("a frame that has no place in it"));
                break;
            }
            Ok(None) => {
                ended = Err(TransferError::Unexpected("it ended without its end mark"));
                break;
            }
            Err(error) => {
                ended = Err(error.into());
                break;
            }
        }
    }
    drop(queue);
    let unpacked = joined(unpacking).await;
    ended?;
    unpacked.map_err(Into::into)
}

async fn joined(
    work: JoinHandle<Result<TransferDone, FilesError>>,
) -> Result<TransferDone, FilesError> {
    work.await
        .unwrap_or_else(|error| Err(FilesError::Stream(io::Error::other(error))))
}

/// A guest's words in our messages: printable and not too many.
fn shortened(failure: TransferFailure) -> TransferFailure {
    let clean = |text: String| {
        text.chars()
            .take(MAX_GUEST_TEXT)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
    };
    TransferFailure {
        path: clean(failure.path),
        message: clean(failure.message),
    }
}

/// Cuts what is written into pieces of one frame.
struct PieceWriter {
    queue: mpsc::Sender<Bytes>,
    piece: Vec<u8>,
}

impl PieceWriter {
    fn new(queue: mpsc::Sender<Bytes>) -> Self {
        Self {
            queue,
            piece: Vec::with_capacity(MAX_FRAME),
        }
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(MAX_FRAME - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == MAX_FRAME {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(MAX_FRAME));
        self.queue
            .blocking_send(piece.into())
            .or(Err(io::ErrorKind::BrokenPipe.into()))
    }
}

/// Reads pieces as one stream.
struct PieceReader {
    queue: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl PieceReader {
    fn new(queue: mpsc::Receiver<Bytes>) -> Self {
        Self {
            queue,
            piece: Bytes::new(),
        }
    }
}

impl Read for PieceReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.queue.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let taken = to.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut to[..taken]);
        Ok(taken)
    }
}
