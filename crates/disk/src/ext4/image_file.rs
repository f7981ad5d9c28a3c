//! The sink for a file: one thread writes and another computes the digest while the next bytes are prepared. Blocks of
//! zeros are never written: they stay holes.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use sha2::{Digest, Sha256};

use super::emission::Sink;
use super::error::WriteError;
use super::options::Progress;
use crate::room::Room;
use crate::sparse::write_but_zeros;

/// Pieces of about 1 MiB that wait for a thread: enough to even out the load, few enough to bound memory.
const WAITING: usize = 4;
/// Zeros that the digest takes for a hole.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

type Piece = Arc<(u64, Vec<u8>)>;

/// A file that is being filled.
pub(crate) struct ImageFile<'a> {
    path: &'a Path,
    size: u64,
    total: u64,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    /// Returned buffers: a fresh one costs more page faults than the copy into it.
    used_buffers: Receiver<Vec<u8>>,
    writer: Option<(SyncSender<Piece>, JoinHandle<io::Result<u64>>)>,
    hasher: Option<(SyncSender<Piece>, JoinHandle<[u8; 32]>)>,
}

impl<'a> ImageFile<'a> {
    /// Fills `file`, which is `size` bytes long and lies at `path`. Progress counts up to `total` bytes.
    pub(crate) fn new(
        file: File,
        path: &'a Path,
        size: u64,
        total: u64,
        digest: bool,
        progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> io::Result<Self> {
        let (give_back, used_buffers) = channel();
        let also_give_back = give_back.clone();
        let writer = start("image-writer", move |pieces| {
            write(&file, &pieces, &give_back)
        })?;
        let hasher = match digest {
            true => Some(start("image-digest", move |pieces| {
                hash(&pieces, size, &also_give_back)
            })?),
            false => None,
        };
        Ok(Self {
            path,
            size,
            total,
            progress,
            used_buffers,
            writer: Some(writer),
            hasher,
        })
    }

    /// Waits until all is written; returns the bytes written, holes not counted, and the digest.
    pub(crate) fn finish(mut self) -> Result<(u64, Option<[u8; 32]>), WriteError> {
        let written = self.join_writer()?;
        let digest = match self.hasher.take() {
            Some((pieces, thread)) => {
                drop(pieces);
                Some(thread.join().map_err(|_panic| {
                    self.failed(io::Error::other("the digest's thread panicked"))
                })?)
            }
            None => None,
        };
        debug_assert!(self.total <= self.size);
        Ok((written, digest))
    }

    fn join_writer(&mut self) -> Result<u64, WriteError> {
        let Some((pieces, thread)) = self.writer.take() else {
            return Ok(0);
        };
        drop(pieces);
        match thread.join() {
            Ok(Ok(written)) => Ok(written),
            Ok(Err(source)) => Err(self.failed(source)),
            Err(_panic) => Err(self.failed(io::Error::other("the writing thread panicked"))),
        }
    }

    fn failed(&self, source: io::Error) -> WriteError {
        WriteError::Write {
            path: self.path.to_owned(),
            source,
        }
    }
}

impl Sink for ImageFile<'_> {
    fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.used_buffers.try_recv().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn put(&mut self, offset: u64, bytes: Vec<u8>) -> Result<(), WriteError> {
        let done = (offset + bytes.len() as u64).min(self.total);
        let piece = Arc::new((offset, bytes));
        if let Some((pieces, _)) = &self.hasher {
            // The digest's thread ends only when this end is dropped.
            let _ = pieces.send(Arc::clone(&piece));
        }
        let taken = self
            .writer
            .as_ref()
            .is_some_and(|(pieces, _)| pieces.send(piece).is_ok());
        if !taken {
            // The writer ended early; its result has the cause.
            self.join_writer()?;
            return Err(self.failed(io::Error::other("the writing thread ended")));
        }
        let progress = Progress {
            done,
            total: self.total,
        };
        match (self.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(WriteError::Cancelled),
        }
    }
}

fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(Receiver<Piece>) -> T + Send + 'static,
) -> io::Result<(SyncSender<Piece>, JoinHandle<T>)> {
    let (sender, receiver) = sync_channel(WAITING);
    let thread = Builder::new()
        .name(name.to_owned())
        .spawn(move || work(receiver))?;
    Ok((sender, thread))
}

fn write(file: &File, pieces: &Receiver<Piece>, used: &Sender<Vec<u8>>) -> io::Result<u64> {
    let (mut room, mut written) = (Room::default(), 0);
    while let Ok(piece) = pieces.recv() {
        // The file is new: unwritten places read as zeros.
        written += write_but_zeros(file, &piece.1, piece.0)?;
        room.check(file, written)?;
        give_back(piece, used);
    }
    Ok(written)
}

fn hash(pieces: &Receiver<Piece>, size: u64, used: &Sender<Vec<u8>>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut at = 0;
    while let Ok(piece) = pieces.recv() {
        hash_zeros(&mut digest, piece.0 - at);
        digest.update(&piece.1);
        at = piece.0 + piece.1.len() as u64;
        give_back(piece, used);
    }
    hash_zeros(&mut digest, size - at);
    digest.finalize().into()
}

/// Sends the buffer back when this was the last thread that needed it.
fn give_back(piece: Piece, used: &Sender<Vec<u8>>) {
    if let Some((_, buffer)) = Arc::into_inner(piece) {
        // At the end the receiver is gone.
        let _ = used.send(buffer);
    }
}

fn hash_zeros(digest: &mut Sha256, mut count: u64) {
    while count > 0 {
        let step = count.min(ZEROS.len() as u64);
        digest.update(&ZEROS[..step as usize]);
        count -= step;
    }
}
