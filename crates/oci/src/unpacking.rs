//! Layers from blobs: digests verified, compressed ones unpacked, several at a time.
//!
//! ```text
//!  blob ─► SHA-256 as stored ─────────► gzip, xz, zstd ─► SHA-256 as unpacked ───────► file without a name
//!          = digest in the manifest                        = diff id in the configuration
//! ```
//! Nothing of a layer gets into a tree before both digests are right. A layer with more entries or bytes than the limits
//! is refused as soon as it exceeds them.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::archive::Limits;
use crate::blobs::{Blob, BlobError};
use crate::compression::{Compression, MAGIC, UnpackError};
use crate::digest::{Digest, Gathered, Hashing};
use crate::keeping::Keeping;
use crate::layers::Layer;

/// Most layers that are unpacked at the same time: each holds a decoder's window, of up to 8 MiB for zstd.
const MAX_THREADS: usize = 8;

/// Failure to unpack a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerUnpackError {
    /// Its blob.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// There is no room for it.
    #[error("cannot make a temporary file in {}", folder.display())]
    Scratch {
        /// The folder.
        folder: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The stored data is broken.
    #[error("cannot unpack layer {layer}")]
    Unpack {
        /// The layer.
        layer: Digest,
        /// Cause of the failure.
        #[source]
        source: UnpackError,
    },
    /// The unpacked data does not have the digest in the configuration.
    #[error("layer {layer} unpacks to {found}, the configuration says {expected}")]
    DiffId {
        /// The layer.
        layer: Digest,
        /// Digest of the unpacked data.
        found: Digest,
        /// Digest in the configuration.
        expected: Digest,
    },
}

/// A layer as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredLayer {
    pub(crate) blob: Blob,
    /// Digest and size of the blob in the manifest; `None` for `docker save`, which has neither.
    pub(crate) stored: Option<(Digest, u64)>,
    /// Digest of the unpacked layer.
    pub(crate) diff_id: Digest,
}

/// Progress of the unpacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackProgress {
    /// Index of the layer, from 0, lowest first.
    pub layer: usize,
    /// Bytes that came out of it.
    pub bytes: u64,
    /// True when it is finished and verified.
    pub finished: bool,
}

/// Unpacks and verifies `stored`, within `limits` in all.
pub(crate) fn unpack_all(
    stored: &[StoredLayer],
    scratch: &Path,
    limits: Limits,
    progress: &mut dyn FnMut(UnpackProgress) -> ControlFlow<()>,
) -> Result<Vec<Layer>, LayerUnpackError> {
    let job = Job {
        stored,
        scratch,
        limits,
        next: AtomicUsize::new(0),
        unpacked: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS)
        .min(stored.len());
    let mut layers: Vec<Option<Layer>> = vec![None; stored.len()];
    let mut failure = None;
    thread::scope(|scope| {
        let (sender, messages) = channel();
        for _ in 0..threads {
            let (job, sender) = (&job, sender.clone());
            scope.spawn(move || job.work(&sender));
        }
        drop(sender);
        for message in messages {
            match message {
                Message::Progress(told) => {
                    if progress(told).is_break() {
                        job.stop.store(true, Ordering::Relaxed);
                    }
                }
                Message::Done(index, Ok(layer)) => {
                    layers[index] = Some(layer);
                }
                Message::Done(_, Err(error)) => {
                    // The first failure is the reason; the others only stop because of it.
                    job.stop.store(true, Ordering::Relaxed);
                    failure.get_or_insert(error);
                }
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(layers.into_iter().flatten().collect()),
    }
}

enum Message {
    Progress(UnpackProgress),
    Done(usize, Result<Layer, LayerUnpackError>),
}

struct Job<'a> {
    stored: &'a [StoredLayer],
    scratch: &'a Path,
    limits: Limits,
    next: AtomicUsize,
    unpacked: AtomicU64,
    /// Entries of compressed layers; those of the others are counted when they are merged.
    entries: AtomicU64,
    stop: AtomicBool,
}

impl Job<'_> {
    fn work(&self, sender: &Sender<Message>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(stored) = self.stored.get(index) else {
                return;
            };
            let result = self.layer(index, stored, sender);
            let failed = result.is_err();
            // The receiving end lives until all senders are gone.
            let _ = sender.send(Message::Done(index, result));
            if failed {
                return;
            }
        }
    }

    fn layer(
        &self,
        index: usize,
        stored: &StoredLayer,
        sender: &Sender<Message>,
    ) -> Result<Layer, LayerUnpackError> {
        let name = stored.stored.map_or(stored.diff_id, |(digest, _)| digest);
        let tell = |bytes, finished| {
            let _ = sender.send(Message::Progress(UnpackProgress {
                layer: index,
                bytes,
                finished,
            }));
            match self.stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        if self.stop.load(Ordering::Relaxed) {
            return Err(unpack(name, UnpackError::Cancelled));
        }
        let mut magic = [0; MAGIC];
        let len = read_magic(&stored.blob, &mut magic)?;
        let compression = Compression::of_magic(&magic[..len]);
        let (file, range, found) = if compression == Compression::None {
            // Used where it lies.
            let blob = &stored.blob;
            self.count(blob.range.end - blob.range.start)
                .map_err(|source| unpack(name, source))?;
            let digest = blob.digest()?;
            check_stored(stored, digest, blob.range.end - blob.range.start)?;
            (Arc::clone(&blob.file), blob.range.clone(), digest)
        } else {
            let (file, len, found) = self.decompress(name, compression, stored, tell)?;
            (Arc::new(file), 0..len, found)
        };
        if found != stored.diff_id {
            return Err(LayerUnpackError::DiffId {
                layer: name,
                found,
                expected: stored.diff_id,
            });
        }
        let _ = tell(range.end - range.start, true);
        Ok(Layer {
            name: name.to_string(),
            file,
            range,
        })
    }

    fn decompress(
        &self,
        name: Digest,
        compression: Compression,
        stored: &StoredLayer,
        tell: impl Fn(u64, bool) -> ControlFlow<()>,
    ) -> Result<(File, u64, Digest), LayerUnpackError> {
        let file =
            tempfile::tempfile_in(self.scratch).map_err(|source| LayerUnpackError::Scratch {
                folder: self.scratch.to_owned(),
                source,
            })?;
        let mut from = Hashing::new(stored.blob.reader());
        let mut keeping = Keeping::new(&file);
        let (mut gathered, mut total) = (Gathered::default(), 0);
        let unpacked = compression.unpack(&mut from, self.limits.unpacked_bytes, &mut |bytes| {
            self.count(bytes.len() as u64)?;
            keeping.take(bytes, &mut || self.count_entry())?;
            gathered.add(bytes);
            total += bytes.len() as u64;
            match tell(total, false) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(UnpackError::Cancelled),
            }
        });
        if let Err(error @ (UnpackError::Cancelled | UnpackError::Write(_))) = unpacked {
            return Err(unpack(name, error));
        }
        // A blob with a wrong digest comes first: its content tells nothing about the image.
        let (found, size) = from
            .finish()
            .map_err(|source| stored.blob.unreadable(source))?;
        check_stored(stored, found, size)?;
        unpacked.map_err(|source| unpack(name, source))?;
        let kept = keeping.kept();
        Ok((file, kept, gathered.finish()))
    }

    fn count_entry(&self) -> Result<(), u64> {
        let before = self.entries.fetch_add(1, Ordering::Relaxed);
        match before < self.limits.entries {
            true => Ok(()),
            false => Err(self.limits.entries),
        }
    }

    /// Counts bytes against the limit of all layers together.
    fn count(&self, bytes: u64) -> Result<(), UnpackError> {
        let before = self.unpacked.fetch_add(bytes, Ordering::Relaxed);
        let limit = self.limits.unpacked_bytes;
        match before.saturating_add(bytes) <= limit {
            true => Ok(()),
            false => Err(UnpackError::TooLarge { limit }),
        }
    }
}

fn unpack(layer: Digest, source: UnpackError) -> LayerUnpackError {
    LayerUnpackError::Unpack { layer, source }
}

fn check_stored(stored: &StoredLayer, found: Digest, size: u64) -> Result<(), BlobError> {
    let Some((digest, announced)) = stored.stored else {
        return Ok(());
    };
    if found != digest {
        return Err(BlobError::Digest {
            name: digest.to_string(),
            found,
        });
    }
    if size != announced {
        return Err(BlobError::Size {
            name: digest.to_string(),
            found: size,
            expected: announced,
        });
    }
    Ok(())
}

fn read_magic(blob: &Blob, magic: &mut [u8; MAGIC]) -> Result<usize, BlobError> {
    use std::io::Read;
    let mut len = 0;
    let mut reader = blob.reader();
    while len < magic.len() {
        match reader
            .read(&mut magic[len..])
            .map_err(|source| blob.unreadable(source))?
        {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}
