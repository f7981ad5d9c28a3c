//! A guest's root as a tar stream that keeps everything: owners, set-id bits, hard links, devices, extended attributes
//! and holes. Images are made of it; [`super::pack`] is for copies that belong to their receiver.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use banger_tar::{Entry, Kind, Writer, Xattr};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::FilesError;
use crate::limits::MAX_TRANSFER_DEPTH;
use crate::schema::TransferDone;

/// Bytes that are read from a file at once.
const STEP: usize = 64 * 1024;
/// Runs of data of one file beyond which its holes are sent as zeros.
const MAX_PIECES: usize = 10_000;
/// Prefix of the extended attributes that overlayfs keeps for itself.
const OVERLAY: &[u8] = b"trusted.overlay.";

/// Writes the root at `root` and the mounts at the directories `also`, such as `/root`: other mounts are written as
/// the empty directories below them.
///
/// # Errors
/// Fails when something cannot be read, or the stream fails. Nothing else may change the root meanwhile.
pub fn pack_root<W: Write>(root: &Path, also: &[&Path], to: W) -> Result<TransferDone, FilesError> {
    let mut devices = Vec::new();
    for place in std::iter::once(&root).chain(also) {
        // A missing place has nothing mounted on it.
        if let Ok(stat) = rustix::fs::stat(*place) {
            devices.push(stat.st_dev);
        }
    }
    let mut packer = Packer {
        writer: Writer::new(to),
        done: TransferDone::default(),
        devices,
        first_names: HashMap::new(),
    };
    let dir = open(rustix::fs::CWD, root.as_os_str(), OFlags::DIRECTORY, root)?;
    let stat = rustix::fs::fstat(&dir).map_err(|error| failed("open", root, error))?;
    packer.header(b"./", Kind::Directory, &stat, root)?;
    packer.below(&dir, b"", root, 0)?;
    packer.writer.finish().map_err(FilesError::Stream)?;
    Ok(packer.done)
}

struct Packer<W> {
    writer: Writer<W>,
    done: TransferDone,
    devices: Vec<u64>,
    /// Name under which a file with several was written, by device and inode.
    first_names: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    fn below(
        &mut self,
        dir: &OwnedFd,
        packed: &[u8],
        shown: &Path,
        depth: usize,
    ) -> Result<(), FilesError> {
        if depth > MAX_TRANSFER_DEPTH {
            return Err(FilesError::Refused {
                path: shown.to_path_buf(),
                why: "is nested too deeply",
            });
        }
        let entries = Dir::read_from(dir).map_err(|error| failed("read", shown, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", shown, error))?;
            let name: &CStr = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let name = OsStr::from_bytes(name.to_bytes());
            let shown: PathBuf = shown.join(name);
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| failed("open", &shown, error))?;
            let packed = [packed, name.as_bytes()].concat();
            self.any(dir.as_fd(), name, (&packed, &shown), &stat, depth)?;
        }
        Ok(())
    }

    fn any(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        (packed, shown): (&[u8], &Path),
        stat: &Stat,
        depth: usize,
    ) -> Result<(), FilesError> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if stat.st_nlink > 1 && kind != FileType::Directory {
            let file = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.first_names.get(&file) {
                let first = first.clone();
                return self.header(packed, Kind::HardLink(&first), stat, shown);
            }
            self.first_names.insert(file, packed.to_vec());
        }
        let device = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        match kind {
            FileType::RegularFile => {
                let file = open(dir, name, OFlags::NONBLOCK, shown)?;
                self.file(File::from(file), packed, shown)
            }
            FileType::Directory => {
                self.header(packed, Kind::Directory, stat, shown)?;
                if !self.devices.contains(&stat.st_dev) {
                    return Ok(());
                }
                let inner = open(dir, name, OFlags::DIRECTORY, shown)?;
                self.below(&inner, &[packed, b"/"].concat(), shown, depth + 1)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new())
                    .map_err(|error| failed("read link", shown, error))?;
                self.header(packed, Kind::Symlink(target.as_bytes()), stat, shown)
            }
            FileType::CharacterDevice => {
                self.header(packed, Kind::CharDevice(device.0, device.1), stat, shown)
            }
            FileType::BlockDevice => {
                self.header(packed, Kind::BlockDevice(device.0, device.1), stat, shown)
            }
            FileType::Fifo => self.header(packed, Kind::Fifo, stat, shown),
            _ => {
                self.done.skipped += 1;
                Ok(())
            }
        }
    }

    fn file(&mut self, file: File, packed: &[u8], shown: &Path) -> Result<(), FilesError> {
        let stat = rustix::fs::fstat(&file).map_err(|error| failed("open", shown, error))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let pieces = pieces(&file, size);
        let kind = match pieces[..] {
            [(0, len)] if len == size => Kind::File { size },
            [] if size == 0 => Kind::File { size },
            _ => Kind::Sparse {
                size,
                pieces: &pieces,
            },
        };
        self.header(packed, kind, &stat, shown)?;
        let mut buffer = vec![0; STEP];
        for (at, len) in &pieces {
            let mut done = 0;
            while done < *len {
                let step = usize::try_from(len - done).unwrap_or(STEP).min(STEP);
                file.read_exact_at(&mut buffer[..step], at + done)
                    .map_err(|source| FilesError::Io {
                        doing: "read",
                        path: shown.to_path_buf(),
                        source,
                    })?;
                self.writer
                    .content(&buffer[..step])
                    .map_err(FilesError::Stream)?;
                done += step as u64;
            }
            self.done.bytes += len;
        }
        self.writer.end_content().map_err(FilesError::Stream)
    }

    fn header(
        &mut self,
        packed: &[u8],
        kind: Kind<'_>,
        stat: &Stat,
        shown: &Path,
    ) -> Result<(), FilesError> {
        let xattrs = match kind {
            Kind::HardLink(_) => Vec::new(),
            _ => xattrs(shown).map_err(|error| failed("read the attributes of", shown, error))?,
        };
        self.done.entries += 1;
        self.writer
            .header(&Entry {
                path: packed,
                kind,
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime: (
                    stat.st_mtime,
                    u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
                ),
                xattrs: &xattrs,
            })
            .map_err(FilesError::Stream)
    }
}

/// The runs of data of a file; one over all of it if the file system does not report them.
fn pieces(file: &File, size: u64) -> Vec<(u64, u64)> {
    let whole = if size == 0 { vec![] } else { vec![(0, size)] };
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) else {
            // Only a hole remains (lseek(2)), or the file system does not report runs.
            break;
        };
        let Ok(end) = rustix::fs::seek(file, SeekFrom::Hole(start)) else {
            return whole;
        };
        if start >= size || pieces.len() == MAX_PIECES {
            return if start >= size { pieces } else { whole };
        }
        pieces.push((start, end.min(size) - start));
        at = end;
    }
    pieces
}

/// Extended attributes of a file itself, by its path: descriptors of links and devices have none.
fn xattrs(path: &Path) -> Result<Vec<Xattr>, Errno> {
    let mut names = vec![0; 64 * 1024];
    let len = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(len) => len,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    let mut value = vec![0; 64 * 1024];
    for name in names[..len].split(|byte| *byte == 0) {
        if name.is_empty() || name.starts_with(OVERLAY) {
            continue;
        }
        match rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]) {
            Ok(len) => found.push((name.to_vec(), value[..len].to_vec())),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort();
    Ok(found)
}

fn open(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlags,
    shown: &Path,
) -> Result<OwnedFd, FilesError> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
        .map_err(|error| failed("open", shown, error))
}

fn failed(doing: &'static str, path: &Path, error: Errno) -> FilesError {
    FilesError::Io {
        doing,
        path: path.to_path_buf(),
        source: error.into(),
    }
}
