//! Tar streams over the frames of a call. Packing and unpacking block, so they run on a thread of their own with a
//! short queue between; the call is read and written by the task.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{
    FilesError, Looked, PackOptions, Target, TransferError, UnpackLimits, pack, pack_root, unpack,
    unpack_unchanged,
};
use crate::limits::{MAX_FRAME, TRANSFER_STALL};
use crate::schema::TransferDone;
use crate::wire::frame::{self, Frame, FrameError, FrameReader};

/// Pieces of at most one frame that wait between thread and task.
const QUEUE: usize = 8;

/// The host's side of `put_files`: packs `path` into the call and waits for the guest's answer.
///
/// # Errors
/// Fails when packing fails here, unpacking fails in the guest, or the call breaks.
pub async fn upload<S>(
    call: S,
    path: PathBuf,
    options: PackOptions,
) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    upload_made(call, move |to| pack(&path, &options, to)).await
}

/// [`upload`] of a tar stream that the caller makes: `make` writes it, on a thread of its own, and returns its totals.
///
/// # Errors
/// Fails when `make` fails, unpacking fails in the guest, or the call breaks.
pub async fn upload_made<S>(call: S, make: impl Make) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    upload_within(call, make, TRANSFER_STALL).await
}

/// A function that writes a tar stream and returns its totals.
pub trait Make:
    FnOnce(&mut dyn Write) -> Result<TransferDone, FilesError> + Send + 'static
{
}

impl<F: FnOnce(&mut dyn Write) -> Result<TransferDone, FilesError> + Send + 'static> Make for F {}

async fn upload_within<S>(
    call: S,
    make: impl Make,
    stall: Duration,
) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stall = Some(stall);
    let (from, mut to) = tokio::io::split(call);
    let mut frames = FrameReader::new(from);
    let sent = {
        let sending = send_data(&mut to, make, stall);
        tokio::pin!(sending);
        tokio::select! {
            // The guest sends first only to refuse.
            early = frames.next() => return verdict(early?),
            sent = &mut sending => sent,
        }
    };
    match sent {
        Ok(_done) => {}
        Err(TransferError::Here(error)) => {
            // The guest need not wait for the rest. An error is ignored: the guest may be gone as well.
            let _ = frame::write(&mut to, &Frame::TransferFailed(error.to_failure())).await;
            return Err(error.into());
        }
        // The guest stopped reading. It may have sent the cause.
        Err(error) => {
            let last = in_time(stall, frames.next()).await;
            return last.map_or(Err(error), verdict);
        }
    }
    verdict(in_time(stall, frames.next()).await?)
}

/// Waits for one step of the other side.
pub(super) async fn in_time<T>(
    stall: Option<Duration>,
    step: impl Future<Output = Result<T, FrameError>>,
) -> Result<T, TransferError> {
    match stall {
        Some(stall) => match tokio::time::timeout(stall, step).await {
            Ok(done) => Ok(done?),
            Err(_elapsed) => Err(TransferError::Stalled(stall)),
        },
        None => Ok(step.await?),
    }
}

pub(super) fn verdict(frame: Option<Frame>) -> Result<TransferDone, TransferError> {
    match frame {
        Some(Frame::Done(done)) => Ok(done),
        Some(Frame::TransferFailed(failure)) => Err(TransferError::There(failure)),
        Some(_) => Err(TransferError::Unexpected("a frame that has no place in it")),
        None => Err(TransferError::Unexpected(
            "the guest ended it without a word",
        )),
    }
}

/// The host's side of `get_files`: unpacks the guest's stream.
///
/// # Errors
/// Fails when packing fails in the guest, unpacking fails here, or the call breaks.
pub async fn download<S>(
    call: S,
    target: Target,
    limits: UnpackLimits,
) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    download_within(call, target, limits, TRANSFER_STALL).await
}

async fn download_within<S>(
    call: S,
    target: Target,
    limits: UnpackLimits,
    stall: Duration,
) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stall = Some(stall);
    let mut frames = FrameReader::new(call);
    let take = move |pieces| unpack(pieces, &target, &limits);
    let here = receive_pieces(&mut frames, stall, take).await?;
    match verdict(in_time(stall, frames.next()).await?)? {
        there if there.entries == here.entries && there.bytes == here.bytes => Ok(there),
        _ => Err(TransferError::Unexpected(
            "the guest counted other files than came",
        )),
    }
}

/// The guest's side of `put_files`: unpacks, and reports the result.
///
/// # Errors
/// Fails when the call breaks; errors with the files are reported to the other side.
pub async fn receive<S>(call: S, target: Target) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    receive_with(call, move |pieces| {
        unpack(pieces, &target, &UnpackLimits::default())
    })
    .await
}

/// [`receive`] that replaces only files that are as `looked` saw them.
///
/// # Errors
/// As [`receive`].
pub async fn receive_unchanged<S>(
    call: S,
    target: Target,
    looked: Arc<Looked>,
) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    receive_with(call, move |pieces| {
        unpack_unchanged(pieces, &target, &UnpackLimits::default(), &looked)
    })
    .await
}

async fn receive_with<S>(
    call: S,
    take: impl FnOnce(PieceReader) -> Result<TransferDone, FilesError> + Send + 'static,
) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from, mut to) = tokio::io::split(call);
    let mut frames = FrameReader::new(from);
    let last = match receive_pieces(&mut frames, None, take).await {
        Ok(done) => Frame::Done(done),
        Err(TransferError::Here(error)) => Frame::TransferFailed(error.to_failure()),
        Err(TransferError::Frame(error)) => return Err(error),
        Err(_over) => return Ok(()),
    };
    frame::write(&mut to, &last).await
}

/// The guest's side of `get_files`: packs, and reports the result.
///
/// # Errors
/// Fails when the call breaks; errors with the files are reported to the other side.
pub async fn send<S>(mut call: S, path: PathBuf, options: PackOptions) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let made = send_data(&mut call, move |to| pack(&path, &options, to), None).await;
    let last = match made {
        Ok(done) => Frame::Done(done),
        Err(TransferError::Here(error)) => Frame::TransferFailed(error.to_failure()),
        Err(TransferError::Frame(error)) => return Err(error),
        Err(_over) => return Ok(()),
    };
    frame::write(&mut call, &last).await
}

/// The guest's side of `get_root`: packs the root with all its properties, and reports the result.
///
/// # Errors
/// Fails when the call breaks; errors with the files are reported to the other side.
pub async fn send_root<S>(mut call: S, root: PathBuf) -> Result<(), FrameError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let work = root.join("root");
    let made = send_data(&mut call, move |to| pack_root(&root, &[&work], to), None).await;
    let last = match made {
        Ok(done) => Frame::Done(done),
        Err(TransferError::Here(error)) => Frame::TransferFailed(error.to_failure()),
        Err(TransferError::Frame(error)) => return Err(error),
        Err(_over) => return Ok(()),
    };
    frame::write(&mut call, &last).await
}

/// The host's side of `get_root`: writes the stream unread, at most `limit` bytes of it.
///
/// # Errors
/// Fails when packing fails in the guest, the stream is longer, it cannot be written here, or the call breaks.
pub async fn download_stream<S>(
    call: S,
    mut to: impl Write,
    limit: u64,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<TransferDone, TransferError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stall = Some(TRANSFER_STALL);
    let mut frames = FrameReader::new(call);
    let here = |error| TransferError::Here(FilesError::Stream(error));
    let mut received = 0_u64;
    loop {
        match in_time(stall, frames.next()).await? {
            Some(Frame::Data(piece)) => {
                received += piece.len() as u64;
                if received > limit {
                    return Err(TransferError::Unexpected("more than it may send"));
                }
                to.write_all(&piece).map_err(here)?;
                progress(received);
            }
            Some(Frame::End) => break,
            other => return verdict(other),
        }
    }
    to.flush().map_err(here)?;
    verdict(in_time(stall, frames.next()).await?)
}

/// Data frames and the end mark.
pub(super) async fn send_data(
    to: &mut (impl AsyncWrite + Unpin),
    make: impl Make,
    stall: Option<Duration>,
) -> Result<TransferDone, TransferError> {
    let (queue, mut pieces) = mpsc::channel(QUEUE);
    let packing = tokio::task::spawn_blocking(move || make(&mut PieceWriter::new(queue)));
    while let Some(piece) = pieces.recv().await {
        in_time(stall, frame::write(to, &Frame::Data(piece))).await?;
    }
    let done = joined(packing).await?;
    in_time(stall, frame::write(to, &Frame::End)).await?;
    Ok(done)
}

/// Data frames up to and including the end mark, taken on a thread of its own.
pub(super) async fn receive_pieces<R: AsyncRead + Unpin, T: Send + 'static>(
    frames: &mut FrameReader<R>,
    stall: Option<Duration>,
    take: impl FnOnce(PieceReader) -> Result<T, FilesError> + Send + 'static,
) -> Result<T, TransferError> {
    let (queue, pieces) = mpsc::channel(QUEUE);
    let taking = tokio::task::spawn_blocking(move || take(PieceReader::new(pieces)));
    let mut ended = Ok(());
    loop {
        match in_time(stall, frames.next()).await {
            Ok(Some(Frame::Data(piece))) => {
                if queue.send(piece).await.is_err() {
                    // The taker failed; its error is returned below.
                    break;
                }
            }
            Ok(Some(Frame::End)) => break,
            Ok(Some(Frame::TransferFailed(failure))) => {
                ended = Err(TransferError::There(failure));
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
                ended = Err(error);
                break;
            }
        }
    }
    drop(queue);
    let taken = joined(taking).await;
    ended?;
    taken.map_err(Into::into)
}

async fn joined<T>(work: JoinHandle<Result<T, FilesError>>) -> Result<T, FilesError> {
    work.await
        .unwrap_or_else(|error| Err(FilesError::Stream(io::Error::other(error))))
}

/// Cuts written bytes into pieces of one frame.
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
pub(super) struct PieceReader {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_guest_that_takes_nothing_ends_an_upload() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, vec![0; 1_000_000]).unwrap();
        let (call, _guest) = tokio::io::duplex(64);
        let make = move |to: &mut dyn Write| pack(&file, &PackOptions::default(), to);
        let ended = upload_within(call, make, SHORT).await;
        assert!(matches!(ended, Err(TransferError::Stalled(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_guest_that_gives_nothing_ends_a_download() {
        let home = tempfile::tempdir().unwrap();
        let (call, _guest) = tokio::io::duplex(64);
        let target = Target {
            dest: home.path().join("copy"),
            must_be_dir: false,
            contents: false,
            parents: false,
            name: None,
            owner: None,
        };
        let ended = download_within(call, target, UnpackLimits::default(), SHORT).await;
        assert!(matches!(ended, Err(TransferError::Stalled(_))), "{ended:?}");
    }
}
