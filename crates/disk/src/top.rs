//! Tops: disks in QEMU's format `qcow2` that hold what was written since the disk below them was frozen
//! (QEMU `docs/interop/qcow2.txt`, version 3).
//!
//! ```text
//! cluster 0      1                2                3
//! header         refcount table   refcount block   L1 table: room for 4 TiB
//! ```
//!
//! A new top says nothing of itself: all is read from the disk below. Which disk that is stands in no header: whoever starts a VMM
//! names it. Of a top that a VMM has written nothing is read here but its size.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Binary logarithm of the size of a cluster, QEMU's own choice.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Bytes of a disk behind one entry of the L1 table: a cluster of L2 entries, each for a cluster.
const BEHIND_L1_ENTRY: u64 = CLUSTER / 8 * CLUSTER;
/// Entries of the L1 table: one cluster of them.
const L1_ENTRIES: u32 = (CLUSTER / 8) as u32;
/// Largest disk of a top, bytes: growing never moves the L1 table.
pub const MAX_BYTES: u64 = BEHIND_L1_ENTRY * L1_ENTRIES as u64;
/// Clusters of a new top.
const CLUSTERS: u64 = 4;
const REFCOUNT_TABLE: u64 = CLUSTER;
const REFCOUNT_BLOCK: u64 = 2 * CLUSTER;
const L1_TABLE: u64 = 3 * CLUSTER;
const HEADER_BYTES: usize = 104;
/// Place of the disk's size in the header.
const SIZE_AT: usize = 24;
const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Cause that a top cannot be made or grown.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The disk is too large.
    #[error("a disk with checkpoints has at most {MAX_BYTES} bytes, not {bytes}")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// It is no whole number of sectors.
    #[error("a disk of {bytes} bytes is no whole number of sectors of 512")]
    Uneven {
        /// Its size.
        bytes: u64,
    },
    /// The file is no top.
    #[error("{} is not a disk in the format qcow2", path.display())]
    NoTop {
        /// The file.
        path: PathBuf,
    },
    /// The host refused.
    #[error("cannot {attempt} {}", path.display())]
    Io {
        /// The attempt.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TopError {
    let path = path.to_owned();
    move |source| TopError::Io {
        attempt,
        path,
        source,
    }
}

fn check(bytes: u64) -> Result<(), TopError> {
    match bytes {
        bytes if bytes % 512 != 0 => Err(TopError::Uneven { bytes }),
        0..=MAX_BYTES => Ok(()),
        bytes => Err(TopError::TooLarge { bytes }),
    }
}

fn header(bytes: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, &MAGIC);
    put(4, &3_u32.to_be_bytes());
    put(20, &CLUSTER_BITS.to_be_bytes());
    put(SIZE_AT, &bytes.to_be_bytes());
    put(36, &L1_ENTRIES.to_be_bytes());
    put(40, &L1_TABLE.to_be_bytes());
    put(48, &REFCOUNT_TABLE.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    // Refcounts of 16 bits.
    put(96, &4_u32.to_be_bytes());
    put(100, &(HEADER_BYTES as u32).to_be_bytes());
    header
}

/// Makes a new top for a disk of this size. What it made of a file goes when it fails.
///
/// # Errors
/// See [`TopError`]; a file that is there is never written over.
pub fn make(path: &Path, bytes: u64) -> Result<File, TopError> {
    check(bytes)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("make", path))?;
    let written = || -> io::Result<()> {
        file.set_len(CLUSTERS * CLUSTER)?;
        file.write_all_at(&header(bytes), 0)?;
        file.write_all_at(&REFCOUNT_BLOCK.to_be_bytes(), REFCOUNT_TABLE)?;
        for cluster in 0..CLUSTERS {
            file.write_all_at(&1_u16.to_be_bytes(), REFCOUNT_BLOCK + 2 * cluster)?;
        }
        Ok(())
    };
    match written() {
        Ok(()) => Ok(file),
        Err(error) => {
            // Nobody has seen it yet.
            let _ = std::fs::remove_file(path);
            Err(failed("write", path)(error))
        }
    }
}

/// Gives the disk of a top that no VMM has open this size; one that is larger stays as it is.
///
/// # Errors
/// See [`TopError`].
pub fn grow(path: &Path, bytes: u64) -> Result<(), TopError> {
    check(bytes)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed("open", path))?;
    let mut header = [0; SIZE_AT + 8];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(failed("read", path)(error));
        }
        Err(_) => header = [0; SIZE_AT + 8],
        Ok(()) => {}
    }
    let size = match header.split_last_chunk::<8>() {
        Some((head, size)) if head.starts_with(&MAGIC) => u64::from_be_bytes(*size),
        _ => return Err(TopError::NoTop { path: path.into() }),
    };
    if size >= bytes {
        return Ok(());
    }
    file.write_all_at(&bytes.to_be_bytes(), SIZE_AT as u64)
        .map_err(failed("write", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may stop at the first surprise
mod tests {
    use super::*;

    fn size_of(path: &Path) -> u64 {
        let bytes = std::fs::read(path).unwrap();
        u64::from_be_bytes(bytes[SIZE_AT..SIZE_AT + 8].try_into().unwrap())
    }

    #[test]
    fn a_top_is_sparse_and_never_made_over_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("top");
        make(&path, 8 << 30).unwrap();
        assert_eq!(path.metadata().unwrap().len(), CLUSTERS * CLUSTER);
        assert!(crate::sparse::allocated_bytes(&path).unwrap() <= 64 << 10);
        assert_eq!(size_of(&path), 8 << 30);
        assert!(matches!(make(&path, 8 << 30), Err(TopError::Io { .. })));
    }

    #[test]
    fn a_top_grows_and_never_shrinks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("top");
        make(&path, 1 << 30).unwrap();
        grow(&path, 2 << 30).unwrap();
        grow(&path, 1 << 20).unwrap();
        assert_eq!(size_of(&path), 2 << 30);
    }

    #[test]
    fn odd_sizes_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("top");
        assert!(matches!(make(&path, 511), Err(TopError::Uneven { .. })));
        let large = make(&path, MAX_BYTES + 512);
        assert!(matches!(large, Err(TopError::TooLarge { .. })));
        assert!(!path.exists());
        for other in ["", "QFI", "an ext4 image is none, however long it may be"] {
            std::fs::write(&path, other).unwrap();
            assert!(matches!(grow(&path, 512), Err(TopError::NoTop { .. })));
        }
    }
}
