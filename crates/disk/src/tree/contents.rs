//! Places of the bytes of files, and their reading when an image is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::error::TreeError;

/// Origin of the contents of files.
#[derive(Debug, Clone)]
pub enum Source {
    /// An open file, for example an uncompressed archive.
    File(Arc<File>),
    /// A file of the host, opened when it is needed; a symbolic link in its place is refused.
    Path(PathBuf),
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
}

/// A source that is ready to be read.
#[derive(Debug, Clone)]
pub enum OpenSource {
    /// An open file.
    File(Arc<File>),
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
}

impl Source {
    /// Bytes of memory that it alone uses; shared bytes are counted elsewhere.
    pub(super) fn allocated(&self) -> usize {
        match self {
            Self::Path(path) => path.as_os_str().len() + 16,
            Self::File(_) | Self::Bytes(_) => 0,
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// The system's answer to opening the file.
    pub fn open(&self) -> io::Result<OpenSource> {
        Ok(match self {
            Self::File(file) => OpenSource::File(Arc::clone(file)),
            Self::Bytes(bytes) => OpenSource::Bytes(Arc::clone(bytes)),
            Self::Path(path) => {
                // NONBLOCK: a pipe may have replaced the file since it was listed; the open must not block on it.
                let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = OpenOptions::new()
                    .read(true)
                    .custom_flags(flags.bits().cast_signed())
                    .open(path)?;
                OpenSource::File(Arc::new(file))
            }
        })
    }
}

impl OpenSource {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the source ends before, or the system's answer.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::Bytes(bytes) => {
                let range = usize::try_from(offset)
                    .ok()
                    .and_then(|start| Some(start..start.checked_add(buffer.len())?))
                    .and_then(|range| bytes.get(range))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(range);
                Ok(())
            }
        }
    }
}

/// A source of one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceId(pub(super) u32);

/// A run of a file's bytes in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the file, in bytes.
    pub at: u64,
    /// Source of the bytes.
    pub source: SourceId,
    /// Offset in the source, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Size of a file and the places of its bytes. Ranges without an extent read as zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    size: u64,
    map: Map,
}

// Nearly all files have one extent over the whole file: it stays in the node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Map {
    Whole { source: SourceId, offset: u64 },
    Extents(Box<[Extent]>),
}

impl Contents {
    /// No bytes.
    pub fn empty() -> Self {
        Self {
            size: 0,
            map: Map::Extents(Box::new([])),
        }
    }

    /// `len` contiguous bytes in `source` from `offset`.
    pub fn whole(source: SourceId, offset: u64, len: u64) -> Self {
        if len == 0 {
            return Self::empty();
        }
        Self {
            size: len,
            map: Map::Whole { source, offset },
        }
    }

    /// `size` bytes of which only `extents` are data.
    ///
    /// # Errors
    /// Fails when the extents overlap, are not in ascending order, or leave the file.
    pub fn sparse(size: u64, extents: Vec<Extent>) -> Result<Self, TreeError> {
        let mut end = 0;
        for extent in &extents {
            let next = extent.at.checked_add(extent.len);
            if extent.at < end || next.is_none_or(|next| next > size) {
                return Err(TreeError::BadExtents {
                    why: format!(
                        "{} bytes at {} in a file of {size} bytes",
                        extent.len, extent.at
                    ),
                });
            }
            end = extent.at + extent.len;
        }
        let extents: Box<[Extent]> = extents.into_iter().filter(|e| e.len > 0).collect();
        Ok(Self {
            size,
            map: Map::Extents(extents),
        })
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The runs of data, ascending.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        let (whole, extents) = match &self.map {
            Map::Whole { source, offset } => {
                let all = Extent {
                    at: 0,
                    source: *source,
                    offset: *offset,
                    len: self.size,
                };
                (Some(all), &[][..])
            }
            Map::Extents(extents) => (None, &extents[..]),
        };
        whole.into_iter().chain(extents.iter().copied())
    }

    /// Extents that take memory of their own.
    pub(super) fn mapped_extents(&self) -> usize {
        match &self.map {
            Map::Whole { .. } => 0,
            Map::Extents(extents) => extents.len(),
        }
    }
}
