//! Standard output and error of a guest command, written by a thread: a reader that is slow blocks nothing else.

use std::io;
use std::thread;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::failure::{Failure, host_error};
use crate::output::output_failure;
use crate::output::raw::write_fully;

/// Target of a command's output.
#[derive(Debug)]
pub enum Sink {
    /// To our standard output and error.
    Streams(Option<Writer>),
    /// It is kept for the result.
    Kept(KeptOutput),
}

impl Sink {
    /// Our standard output and error.
    ///
    /// # Errors
    /// The thread that writes cannot be started.
    pub fn streams() -> Result<Self, Failure> {
        Ok(Self::Streams(Some(Writer::start()?)))
    }

    pub(super) async fn stdout(&mut self, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Self::Streams(Some(writer)) => writer.stdout(bytes).await,
            Self::Streams(None) => Ok(()),
            Self::Kept(kept) => {
                kept.stdout.add(&bytes);
                Ok(())
            }
        }
    }

    pub(super) async fn stderr(&mut self, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Self::Streams(Some(writer)) => writer.stderr(bytes).await,
            Self::Streams(None) => Ok(()),
            Self::Kept(kept) => {
                kept.stderr.add(&bytes);
                Ok(())
            }
        }
    }

    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        match self {
            Self::Streams(writer) => match writer.take() {
                Some(writer) => writer.finish().await,
                None => Ok(()),
            },
            Self::Kept(_) => Ok(()),
        }
    }
}

/// Output that is kept.
#[derive(Debug, Default)]
pub struct KeptOutput {
    /// Standard output.
    pub stdout: Kept,
    /// Standard error.
    pub stderr: Kept,
}

/// The beginning of one stream.
#[derive(Debug, Default)]
pub struct Kept {
    /// At most [`MAX_KEPT`].
    pub bytes: Vec<u8>,
    /// There was more.
    pub cut: bool,
}

/// Bytes of each stream that are kept; the rest is read and dropped.
pub const MAX_KEPT: usize = 16 * 1024 * 1024;

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        let room = MAX_KEPT - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Chunks that may wait to be written. A guest that is faster than our reader waits, too.
const QUEUE: usize = 16;

enum Chunk {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// Writes chunks in the order in which they came.
#[derive(Debug)]
pub struct Writer {
    chunks: mpsc::Sender<Chunk>,
    end: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    /// # Errors
    /// The thread cannot be started.
    pub fn start() -> Result<Self, Failure> {
        let (chunks, to_write) = mpsc::channel(QUEUE);
        let (told, end) = oneshot::channel();
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || {
                // Nobody waits for the end any more once the command is left.
                let _ = told.send(write(to_write));
            })
            .map_err(|source| host_error("cannot start a thread", &source))?;
        Ok(Self { chunks, end })
    }

    /// # Errors
    /// Standard output is gone.
    pub async fn stdout(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.chunk(Chunk::Stdout(bytes)).await
    }

    /// # Errors
    /// Standard output is gone.
    pub async fn stderr(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.chunk(Chunk::Stderr(bytes)).await
    }

    async fn chunk(&mut self, chunk: Chunk) -> Result<(), Failure> {
        if self.chunks.send(chunk).await.is_ok() {
            return Ok(());
        }
        // The thread ends early only when it cannot write.
        outcome((&mut self.end).await)
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// Standard output is gone.
    pub async fn finish(self) -> Result<(), Failure> {
        drop(self.chunks);
        outcome(self.end.await)
    }
}

fn outcome(end: Result<io::Result<()>, oneshot::error::RecvError>) -> Result<(), Failure> {
    match end {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(output_failure(&error)),
        Err(_panicked) => Err(output_failure(&io::Error::other("its thread ended"))),
    }
}

fn write(mut chunks: mpsc::Receiver<Chunk>) -> io::Result<()> {
    while let Some(chunk) = chunks.blocking_recv() {
        match chunk {
            Chunk::Stdout(bytes) => write_fully(io::stdout(), &bytes)?,
            // A closed standard error is the user's wish; the command's output goes on.
            Chunk::Stderr(bytes) => drop(write_fully(io::stderr(), &bytes)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_limit_and_says_that_it_was_cut() {
        let mut kept = Kept::default();
        let chunk = vec![b'x'; MAX_KEPT / 4];
        for _ in 0..4 {
            kept.add(&chunk);
        }
        assert!(!kept.cut);
        kept.add(b"y");
        assert!(kept.cut && kept.bytes.len() == MAX_KEPT);
    }
}
