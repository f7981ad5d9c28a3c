//! Standard output and error of a guest command, written by a thread: a reader that is slow blocks nothing else.

use std::io;
use std::thread;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::failure::{Failure, host_error};
use crate::output::output_failure;
use crate::output::raw::write_fully;

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
