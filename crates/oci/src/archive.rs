//! A tar archive, compressed or not, as a tree.
//!
//! ```text
//!  compressed ─► unpacked once into a file without a name, beside the future image ─────────┐
//!  plain ───────────────────────────────────────────────────────────────────────────────────┴─► headers ─► tree
//! ```
//! Contents stay where they are until an image is written: the tree knows their offsets.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_disk::tree::{Source, TreeError, printable};

use crate::assembly::{Assembly, EntryError, Files};
use crate::compression::{Compression, UnpackError};
use crate::keeping::Keeping;
use crate::tar::{TarError, TarReader, Trailer};

/// Limits of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the unpacked archive.
    pub unpacked_bytes: u64,
    /// Entries, all layers together: replaced and hidden ones count as well.
    pub entries: u64,
}

impl Default for Limits {
    /// 64 GiB, and two million entries: the largest known images have one to two million, and the finished
    /// tree is bounded by its memory besides ([`banger_disk::tree::MAX_TREE_BYTES`]: some 1.1 million).
    fn default() -> Self {
        Self {
            unpacked_bytes: 64 << 30,
            entries: 2_000_000,
        }
    }
}

/// Failure to make a tree of an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive cannot be opened.
    #[error("cannot open archive {}", path.display())]
    Open {
        /// The archive.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// There is no room to unpack to.
    #[error("cannot make a temporary file in {}", folder.display())]
    Scratch {
        /// The folder.
        folder: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It cannot be unpacked.
    #[error("cannot unpack {}", path.display())]
    Unpack {
        /// The archive.
        path: PathBuf,
        /// Cause of the failure.
        #[source]
        source: UnpackError,
    },
    /// It is no tar archive, or a broken one.
    #[error("cannot read archive {}", path.display())]
    Tar {
        /// The archive.
        path: PathBuf,
        /// Cause of the failure.
        #[source]
        source: TarError,
    },
    /// One of its entries cannot be taken.
    #[error("cannot take \"{entry}\" of {}", path.display())]
    Entry {
        /// The archive.
        path: PathBuf,
        /// The entry's name, printable.
        entry: String,
        /// Fault of the entry.
        #[source]
        source: EntryError,
    },
    /// It holds nothing.
    #[error("archive {} is empty", path.display())]
    Empty {
        /// The archive.
        path: PathBuf,
    },
    /// The tree cannot be made.
    #[error("cannot make a tree of {}", path.display())]
    Tree {
        /// The archive.
        path: PathBuf,
        /// The tree's refusal.
        #[source]
        source: TreeError,
    },
}

/// The tree of the tar archive at `path`: plain, or compressed with gzip, xz or zstd. A compressed one is unpacked to a
/// file without a name in the folder `scratch`, which should be on the file system of the future image; it is freed
/// when the tree is dropped. `progress` gets the number of unpacked bytes and may stop the work with `Break`.
///
/// # Errors
/// The archive cannot be read, is broken or cut short, is larger than `limits`, or an entry is impossible: the
/// error names it.
pub fn tree_from_archive(
    path: &Path,
    scratch: &Path,
    limits: Limits,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Files, ArchiveError> {
    let open = |source| ArchiveError::Open {
        path: path.to_owned(),
        source,
    };
    let packed = File::open(path).map_err(open)?;
    let compression = Compression::of(&packed).map_err(open)?;
    let plain = match compression {
        Compression::None => packed,
        compression => {
            let failed = |source| ArchiveError::Scratch {
                folder: scratch.to_owned(),
                source,
            };
            let file = tempfile::tempfile_in(scratch).map_err(failed)?;
            unpack(compression, packed, &file, limits, progress).map_err(|source| {
                ArchiveError::Unpack {
                    path: path.to_owned(),
                    source,
                }
            })?;
            file
        }
    };
    let len = plain.metadata().map_err(open)?.len();
    read(path, plain, len, limits)
}

fn unpack(
    compression: Compression,
    packed: File,
    into: &File,
    limits: Limits,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), UnpackError> {
    let mut keeping = Keeping::new(into);
    let (mut left, mut total) = (limits.entries, 0);
    let mut count = || {
        left = left.checked_sub(1).ok_or(limits.entries)?;
        Ok(())
    };
    compression.unpack(packed, limits.unpacked_bytes, &mut |bytes| {
        keeping.take(bytes, &mut count)?;
        total += bytes.len() as u64;
        match progress(total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(UnpackError::Cancelled),
        }
    })
}

fn read(path: &Path, plain: File, len: u64, limits: Limits) -> Result<Files, ArchiveError> {
    let tree_failed = |source| ArchiveError::Tree {
        path: path.to_owned(),
        source,
    };
    let mut assembly = Assembly::new(limits.entries).map_err(tree_failed)?;
    let plain = Arc::new(plain);
    let source = assembly.tree().add_source(Source::File(Arc::clone(&plain)));
    let mut reader = TarReader::new(&plain, 0..len, Trailer::Required);
    let mut entries = 0_u64;
    loop {
        let entry = reader.next_entry().map_err(|source| ArchiveError::Tar {
            path: path.to_owned(),
            source,
        })?;
        let Some(entry) = entry else {
            break;
        };
        entries += 1;
        assembly
            .count()
            .and_then(|()| assembly.add(&entry, source))
            .map_err(|source| ArchiveError::Entry {
                path: path.to_owned(),
                entry: printable(&entry.path),
                source,
            })?;
    }
    if entries == 0 {
        return Err(ArchiveError::Empty {
            path: path.to_owned(),
        });
    }
    assembly.finish().map_err(tree_failed)
}
