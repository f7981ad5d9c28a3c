//! An image as a stream of bytes.
//!
//! ```text
//! blocking thread: prepare ─► head of the answer ─► archive ─► chunks ─► body        a reader that is gone ends it
//! ```

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use banger_api::error::ErrorBody;
use banger_api::{ApiError, ErrorCode};
use banger_control::find_image;
use banger_image::{Export, ImageError, Watch};
use tokio::sync::{mpsc, oneshot};

use super::answer::Failed;
use crate::context::Daemon;
use crate::failure;

/// Bytes of one chunk.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for the reader.
const QUEUE: usize = 4;

type Chunk = Result<Bytes, io::Error>;

/// An image as an OCI archive.
#[utoipa::path(get, path = "/v1/images/{ref}/export", tag = "images", params(("ref" = String, Path)),
    responses((status = 200, content_type = "application/x-tar", body = Vec<u8>), (status = "default", body = ErrorBody)))]
pub(super) async fn export(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
) -> Result<Response, Failed> {
    let (chunks, body) = mpsc::channel::<Chunk>(QUEUE);
    let (head, length) = oneshot::channel();
    tokio::task::spawn_blocking(move || send(&daemon, &name, head, &chunks));
    let length = length.await.unwrap_or_else(|_gone| {
        let message = "the export ended without a word";
        Err(ApiError::new(ErrorCode::Internal, message))
    })?;
    let stream = futures::stream::unfold(body, |mut body| async move {
        body.recv().await.map(|chunk| (chunk, body))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn send(
    daemon: &Daemon,
    name: &str,
    head: oneshot::Sender<Result<u64, ApiError>>,
    chunks: &mpsc::Sender<Chunk>,
) {
    // The reader is gone when its end of the queue is.
    let left = || chunks.is_closed();
    let mut quiet = |_progress| {};
    let mut watch = Watch::new(&mut quiet, &left);
    let prepared = find_image(&daemon.control, name).and_then(|record| {
        let folder = daemon.paths.places().image(&record.digest);
        Export::prepare(&folder, record.name.as_str(), &mut watch).map_err(|error| of_image(&error))
    });
    let export = match prepared {
        Ok(export) => export,
        Err(error) => {
            let _ = head.send(Err(error));
            return;
        }
    };
    let _ = head.send(Ok(export.bytes()));
    let mut queue = Queue {
        chunks,
        chunk: Vec::with_capacity(CHUNK),
    };
    if let Err(error) = export.write(&mut queue, &mut watch) {
        // The answer ends short of its length: whoever reads it sees a broken body.
        let broken = io::Error::other(failure::chain(&error));
        let _ = chunks.blocking_send(Err(broken));
    }
}

fn of_image(error: &ImageError) -> ApiError {
    match error {
        ImageError::Cancelled => ApiError::new(ErrorCode::Cancelled, "cancelled"),
        ImageError::NotOurs { .. } => ApiError::new(ErrorCode::InvalidArgument, error.to_string()),
        _ => failure::of_disk(error),
    }
}

/// Cuts what is written into chunks.
struct Queue<'a> {
    chunks: &'a mpsc::Sender<Chunk>,
    chunk: Vec<u8>,
}

impl Write for Queue<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.chunks
            .blocking_send(Ok(chunk.into()))
            .or(Err(io::ErrorKind::BrokenPipe.into()))
    }
}
