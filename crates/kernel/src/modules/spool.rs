//! One unnamed file that takes many, one after the other: it is gone with its last user, however that ends.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::KernelError;

/// All modules of a kernel together; Debian's largest has 380 MiB unpacked.
const SPOOL_MAX_BYTES: u64 = 3 << 30;

/// The file.
#[derive(Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    end: u64,
    folder: PathBuf,
}

/// Bytes in a spool.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    /// The spool's file.
    pub(crate) file: Arc<File>,
    /// Offset of the first.
    pub(crate) offset: u64,
    /// Number of bytes.
    pub(crate) length: u64,
}

impl Spool {
    /// An empty one in `folder`, where it has no name.
    pub(crate) fn new(folder: &Path) -> Result<Self, KernelError> {
        let file = tempfile::tempfile_in(folder)
            .map_err(|source| KernelError::io("make a spool file in", folder, source))?;
        Ok(Self {
            file: Arc::new(file),
            end: 0,
            folder: folder.to_path_buf(),
        })
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<Spooled, KernelError> {
        let length = bytes.len() as u64;
        if self.end + length > SPOOL_MAX_BYTES {
            return Err(KernelError::TooLarge {
                what: "the sum of all modules".to_owned(),
                limit: SPOOL_MAX_BYTES,
            });
        }
        (&*self.file)
            .write_all(bytes)
            .map_err(|source| KernelError::io("write to the spool in", &self.folder, source))?;
        let offset = self.end;
        self.end += length;
        Ok(Spooled {
            file: Arc::clone(&self.file),
            offset,
            length,
        })
    }

    /// Bytes that it has.
    pub(crate) fn read(&self, place: &Spooled) -> Result<Vec<u8>, KernelError> {
        let mut bytes = vec![0; usize::try_from(place.length).unwrap_or(usize::MAX)];
        place
            .file
            .read_exact_at(&mut bytes, place.offset)
            .map_err(|source| KernelError::io("read the spool in", &self.folder, source))?;
        Ok(bytes)
    }
}
