//! Files with holes: copied, grown and measured so that a hole never becomes zeros on disk.
//!
//! Clone order: `FICLONE` (btrfs, XFS, bcachefs: shares the extents, takes no room), else extent by extent with
//! `SEEK_DATA`/`SEEK_HOLE` and `copy_file_range`. There is no plain copy: a file system that cannot report holes answers
//! `SEEK_DATA` with one extent for the whole file, and then blocks of zeros are left out.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

/// Unit of `st_blocks`, in bytes, for every file system (see stat(3type)).
const STAT_BLOCK: u64 = 512;
/// Bytes per `copy_file_range` call: keeps each call short enough to be interrupted.
const COPY_STEP: usize = 64 << 20;
/// Buffer of the fallback that reads and writes, in bytes.
const BUFFER: usize = 1 << 20;
/// Granularity at which the fallback leaves zeros out, in bytes.
const ZERO_GRAIN: usize = 4096;

/// Method by which a clone was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneMethod {
    /// The file system shares the extents; nothing was copied.
    Reflink,
    /// Data extents were copied, holes kept.
    Extents,
}

/// Result of a clone.
#[derive(Debug)]
pub struct Clone {
    /// Method that was used.
    pub method: CloneMethod,
    /// Bytes copied: 0 for a reflink.
    pub bytes_copied: u64,
    /// Apparent size of the new file in bytes.
    pub size: u64,
    /// The new file, not synced.
    pub file: File,
}

/// Reason why a sparse file could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum SparseError {
    /// A clone failed; the new file was removed.
    #[error("cannot clone {} to {}", from.display(), to.display())]
    Clone {
        /// The origin.
        from: PathBuf,
        /// The new file.
        to: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file cannot be resized.
    #[error("cannot resize {} to {size} bytes", path.display())]
    Resize {
        /// The file.
        path: PathBuf,
        /// Requested size in bytes.
        size: u64,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The requested size is smaller: data behind the new end would be lost.
    #[error("cannot shrink {} from {current} to {asked} bytes: disks only grow", path.display())]
    WouldShrink {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        current: u64,
        /// Requested size in bytes.
        asked: u64,
    },
    /// A file cannot be inspected.
    #[error("cannot inspect {}", path.display())]
    Inspect {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Clones the file `from` to the new file `to` (mode 0600), keeping holes.
///
/// # Errors
/// Fails when `to` exists, or on any failure to read or write; `to` is then not there (unless it was before).
pub fn clone_file(from: &Path, to: &Path) -> Result<Clone, SparseError> {
    let failed = |source| SparseError::Clone {
        from: from.to_owned(),
        to: to.to_owned(),
        source,
    };
    let source = File::open(from).map_err(failed)?;
    let target = create_new(to).map_err(failed)?;
    match clone_into(&source, &target) {
        Ok((method, bytes_copied, size)) => Ok(Clone {
            method,
            bytes_copied,
            size,
            file: target,
        }),
        Err(error) => {
            remove_begun(to);
            Err(failed(error))
        }
    }
}

/// Bytes that the file at `path` takes on its file system (shared extents count for each file that has them).
///
/// # Errors
/// Fails when the file cannot be inspected.
pub fn allocated_bytes(path: &Path) -> Result<u64, SparseError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.blocks() * STAT_BLOCK),
        Err(source) => Err(SparseError::Inspect {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Grows the file at `path` to `size` bytes, with a hole at the end, and returns its old size.
/// The current size is allowed as well.
///
/// # Errors
/// Fails when the file is larger already ([`SparseError::WouldShrink`] names both sizes) or cannot be changed.
pub fn grow(path: &Path, size: u64) -> Result<u64, SparseError> {
    let resize = |source| SparseError::Resize {
        path: path.to_owned(),
        size,
        source,
    };
    let file = OpenOptions::new().write(true).open(path).map_err(resize)?;
    let current = file.metadata().map_err(resize)?.len();
    if size < current {
        return Err(SparseError::WouldShrink {
            path: path.to_owned(),
            current,
            asked: size,
        });
    }
    if size > current {
        file.set_len(size).map_err(resize)?;
    }
    Ok(current)
}

/// Gives the bytes `offset..offset + len` of `file` back to the file system; they read as zeros afterwards.
///
/// # Errors
/// The system's answer, for example `EOPNOTSUPP` where holes do not exist.
pub fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, mode, offset, len).map_err(io::Error::from)
}

/// The next run of data in `file` at or behind `from`, as (offset, length); `None` when only holes follow.
///
/// # Errors
/// The system's answer to `lseek`.
pub fn next_data(file: &File, from: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?;
    Ok(Some((start, end - start)))
}

/// Creates `path` for reading and writing, mode 0600; fails when anything is there.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Removes a file that this call created and could not finish. Ignores its own error: the caller reports the first.
pub(crate) fn remove_begun(path: &Path) {
    let _ = std::fs::remove_file(path);
}

fn clone_into(source: &File, target: &File) -> io::Result<(CloneMethod, u64, u64)> {
    let size = source.metadata()?.len();
    match rustix::fs::ioctl_ficlone(target, source) {
        Ok(()) => return Ok((CloneMethod::Reflink, 0, size)),
        // The errors that ioctl_ficlonerange(2) lists for a file system, or a pair of them, without support.
        Err(
            Errno::OPNOTSUPP
            | Errno::XDEV
            | Errno::INVAL
            | Errno::NOTTY
            | Errno::NOSYS
            | Errno::PERM
            | Errno::BADF,
        ) => {}
        Err(other) => return Err(other.into()),
    }
    let copied = copy_extents(source, target, size)?;
    Ok((CloneMethod::Extents, copied, size))
}

fn copy_extents(source: &File, target: &File, size: u64) -> io::Result<u64> {
    target.set_len(size)?;
    let mut copied = 0;
    let mut at = 0;
    while let Some((start, len)) = next_data(source, at)? {
        copied += copy_range(source, target, start, len)?;
        at = start + len;
    }
    Ok(copied)
}

fn copy_range(source: &File, target: &File, start: u64, len: u64) -> io::Result<u64> {
    let (mut from, mut to, end) = (start, start, start + len);
    while from < end {
        let step = COPY_STEP.min(usize::try_from(end - from).unwrap_or(COPY_STEP));
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), step) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return Ok(from - start + read_and_write(source, target, from, end)?);
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(len)
}

/// Copies between file systems for which the kernel has no copy. Leaves out blocks of zeros.
fn read_and_write(source: &File, target: &File, mut at: u64, end: u64) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut written = 0;
    while at < end {
        let step = BUFFER.min(usize::try_from(end - at).unwrap_or(BUFFER));
        source.read_exact_at(&mut buffer[..step], at)?;
        for (index, grain) in buffer[..step].chunks(ZERO_GRAIN).enumerate() {
            if grain.iter().any(|&byte| byte != 0) {
                target.write_all_at(grain, at + (index * ZERO_GRAIN) as u64)?;
                written += grain.len() as u64;
            }
        }
        at += step as u64;
    }
    Ok(written)
}

static ZEROS: [u8; ZERO_GRAIN] = [0; ZERO_GRAIN];

/// Writes `bytes` at `offset` of `file` without whole blocks of zeros: places that were never written stay holes.
/// A hole at the end does not make the file longer. Returns the number of bytes written.
///
/// # Errors
/// The system's answer to writing.
pub fn write_but_zeros(file: &File, bytes: &[u8], offset: u64) -> io::Result<u64> {
    let (mut start, mut at, mut written) = (0, 0, 0);
    let mut put = |from: usize, to: usize| -> io::Result<()> {
        written += (to - from) as u64;
        file.write_all_at(&bytes[from..to], offset + from as u64)
    };
    while at < bytes.len() {
        // Up to the next block of the file.
        let step = ZERO_GRAIN - ((offset + at as u64) % ZERO_GRAIN as u64) as usize;
        let end = (at + step).min(bytes.len());
        if end - at == ZERO_GRAIN && bytes[at..end] == ZEROS {
            if start < at {
                put(start, at)?;
            }
            start = end;
        }
        at = end;
    }
    if start < bytes.len() {
        put(start, bytes.len())?;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn sparse_file(path: &Path) {
        let file = create_new(path).unwrap();
        file.set_len(256 * MIB).unwrap();
        file.write_all_at(b"head", 0).unwrap();
        file.write_all_at(&[7; 70_000], 100 * MIB).unwrap();
        file.write_all_at(b"tail", 256 * MIB - 4).unwrap();
    }

    #[test]
    fn a_clone_has_the_same_bytes_and_keeps_its_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        sparse_file(&from);
        let clone = clone_file(&from, &to).unwrap();
        assert_eq!(clone.size, 256 * MIB);
        assert!(clone.bytes_copied < MIB, "copied {}", clone.bytes_copied);
        assert!(allocated_bytes(&to).unwrap() < MIB);
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
    }

    #[test]
    fn the_fallback_leaves_zeros_out() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        sparse_file(&from);
        let target = create_new(&to).unwrap();
        target.set_len(256 * MIB).unwrap();
        let source = File::open(&from).unwrap();
        let written = read_and_write(&source, &target, 0, 256 * MIB).unwrap();
        assert!(written < MIB);
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
    }

    #[test]
    fn a_clone_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, b"new").unwrap();
        std::fs::write(&to, b"kept").unwrap();
        let refused = clone_file(&from, &to).unwrap_err();
        assert!(refused.to_string().starts_with("cannot clone "));
        assert_eq!(std::fs::read(&to).unwrap(), b"kept");
    }

    #[test]
    fn a_clone_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        assert!(
            clone_file(dir.path(), &to).is_err(),
            "a directory is no disk"
        );
        assert!(!to.exists());
    }

    #[test]
    fn growing_adds_a_hole_and_tells_the_old_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, [1; 4096]).unwrap();
        assert_eq!(grow(&path, 8 * MIB).unwrap(), 4096);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 8 * MIB);
        assert!(allocated_bytes(&path).unwrap() < MIB);
    }

    #[test]
    fn shrinking_is_refused_with_both_sizes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, [1; 4096]).unwrap();
        let refused = grow(&path, 100).unwrap_err().to_string();
        assert!(refused.contains("from 4096 to 100 bytes"), "{refused}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
    }

    #[test]
    fn a_punched_hole_reads_as_zeros_and_takes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, vec![1; 4 * MIB as usize]).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        punch_hole(&file, MIB, 2 * MIB).unwrap();
        assert!(allocated_bytes(&path).unwrap() <= 2 * MIB + 64 * 1024);
        assert!(std::fs::read(&path).unwrap()[2 * MIB as usize] == 0);
    }

    #[test]
    fn blocks_of_zeros_are_left_out_wherever_they_lie() {
        let mut bytes = vec![0; 10 * ZERO_GRAIN + 100];
        bytes[2 * ZERO_GRAIN] = 1;
        bytes[5 * ZERO_GRAIN - 1] = 1;
        bytes[10 * ZERO_GRAIN + 99] = 1;
        for offset in [0, 1, 100, ZERO_GRAIN as u64, 3 * ZERO_GRAIN as u64 + 7] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(20 * ZERO_GRAIN as u64).unwrap();
            let written = write_but_zeros(&file, &bytes, offset).unwrap();
            let mut read = vec![9; bytes.len()];
            file.read_exact_at(&mut read, offset).unwrap();
            assert!(read == bytes, "{offset}");
            assert!(written < 6 * ZERO_GRAIN as u64, "{offset}: {written}");
            let on_disk = file.metadata().unwrap().blocks() * 512;
            assert!(on_disk <= 7 * ZERO_GRAIN as u64, "{offset}: {on_disk}");
        }
        let file = tempfile::tempfile().unwrap();
        assert_eq!(write_but_zeros(&file, &[0; 2 * ZERO_GRAIN], 0).unwrap(), 0);
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(write_but_zeros(&file, b"", 5).unwrap(), 0);
    }
}
