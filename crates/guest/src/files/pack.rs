//! Packing of a tree. Directories are opened by descriptor, one name at a time, and links are never followed.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::FilesError;
use super::archive::{ArchiveWriter, Entry, EntryKind};
use crate::limits::MAX_TRANSFER_DEPTH;
use crate::schema::TransferDone;

/// Options of packing.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// True to pack the target of the path itself if it is a symlink. Links inside are always packed as links.
    pub follow: bool,
    /// True to leave links out, and count them as skipped.
    pub skip_links: bool,
    /// Permission bits of every file, instead of its own.
    pub file_mode: Option<u32>,
}

/// Writes the file or tree at `path` as a tar stream whose top entry is named by the last name of `path` (`root` for
/// `/`).
///
/// # Errors
/// Fails when something cannot be read, or the stream fails. A file that vanishes meanwhile is left out.
pub fn pack<W: Write>(
    path: &Path,
    options: &PackOptions,
    to: W,
) -> Result<TransferDone, FilesError> {
    let real = if options.follow || path.file_name().is_none() {
        // `.`, `..` and `/` have no name of their own.
        path.canonicalize()
            .map_err(|source| failed("open", path, source))?
    } else {
        path.to_path_buf()
    };
    let top = path
        .file_name()
        .or_else(|| real.file_name())
        .unwrap_or(OsStr::new("root"));
    let stat = rustix::fs::lstat(&real).map_err(|error| failed("open", &real, error.into()))?;
    let mut writer = ArchiveWriter::new(to);
    let mut packer = Packer {
        writer: &mut writer,
        options,
        done: TransferDone::default(),
    };
    let place = Place {
        dir: rustix::fs::CWD,
        name: real.as_os_str(),
        shown: &real,
    };
    packer.any(&place, &stat, top.as_bytes(), 0)?;
    let done = packer.done;
    writer.finish().map_err(FilesError::Stream)?;
    Ok(done)
}

/// Writes the file or link called `name` in an open directory as one entry called `packed`; `shown` is its path for
/// messages. One that has become something else meanwhile is left out and counted as skipped.
///
/// # Errors
/// It cannot be read, or the stream fails.
pub fn pack_entry<W: Write>(
    writer: &mut ArchiveWriter<W>,
    dir: BorrowedFd<'_>,
    name: &OsStr,
    (packed, shown): (&[u8], &Path),
) -> Result<TransferDone, FilesError> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| failed("open", shown, error.into()))?;
    let mut packer = Packer {
        writer,
        options: &PackOptions::default(),
        done: TransferDone::default(),
    };
    let place = Place { dir, name, shown };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => packer.file(&place, packed)?,
        FileType::Symlink => packer.symlink(&place, &stat, packed)?,
        _ => packer.done.skipped += 1,
    }
    Ok(packer.done)
}

/// A name in an open directory, and its path for messages.
struct Place<'a> {
    dir: BorrowedFd<'a>,
    name: &'a OsStr,
    shown: &'a Path,
}

struct Packer<'a, W> {
    writer: &'a mut ArchiveWriter<W>,
    options: &'a PackOptions,
    done: TransferDone,
}

impl<W: Write> Packer<'_, W> {
    fn any(
        &mut self,
        place: &Place<'_>,
        stat: &Stat,
        packed: &[u8],
        depth: usize,
    ) -> Result<(), FilesError> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(place, packed),
            FileType::Directory => self.directory(place, packed, depth),
            FileType::Symlink if !self.options.skip_links => self.symlink(place, stat, packed),
            _ => {
                self.done.skipped += 1;
                Ok(())
            }
        }
    }

    fn file(&mut self, place: &Place<'_>, packed: &[u8]) -> Result<(), FilesError> {
        // NONBLOCK: if it has become a fifo meanwhile, the open must not wait for a writer.
        let mut file = File::from(open(place, OFlags::NONBLOCK | OFlags::NOFOLLOW)?);
        let stat = stat_of(&file, place)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            self.done.skipped += 1;
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.header(packed, EntryKind::File { size }, &stat)?;
        let mut left = size;
        let mut piece = vec![0; usize::try_from(size.clamp(512, 64 * 1024)).unwrap_or(512)];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let read = file
                .read(&mut piece[..want])
                .map_err(|source| failed("read", place.shown, source))?;
            if read == 0 {
                // The file shrank. The announced bytes must follow: zeros, as a reader of a hole would see.
                piece.fill(0);
            }
            let got = if read == 0 { want } else { read };
            self.writer
                .content(&piece[..got])
                .map_err(FilesError::Stream)?;
            left -= got as u64;
        }
        self.writer.pad(size).map_err(FilesError::Stream)?;
        self.done.entries += 1;
        self.done.bytes += size;
        Ok(())
    }

    fn symlink(&mut self, place: &Place<'_>, stat: &Stat, packed: &[u8]) -> Result<(), FilesError> {
        let target = rustix::fs::readlinkat(place.dir, place.name, Vec::new())
            .map_err(|error| failed("read link", place.shown, error.into()))?;
        self.header(
            packed,
            EntryKind::Symlink {
                target: target.into_bytes(),
            },
            stat,
        )?;
        self.done.entries += 1;
        Ok(())
    }

    fn directory(
        &mut self,
        place: &Place<'_>,
        packed: &[u8],
        depth: usize,
    ) -> Result<(), FilesError> {
        if depth > MAX_TRANSFER_DEPTH {
            return Err(FilesError::Refused {
                path: place.shown.to_path_buf(),
                why: "is nested too deeply",
            });
        }
        let dir = open(place, OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        self.header(packed, EntryKind::Directory, &stat_of(&dir, place)?)?;
        self.done.entries += 1;
        let entries =
            Dir::read_from(&dir).map_err(|error| failed("read", place.shown, error.into()))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", place.shown, error.into()))?;
            if is_dot(entry.file_name()) {
                continue;
            }
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let shown: PathBuf = place.shown.join(name);
            let stat = match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(error) => return Err(failed("open", &shown, error.into())),
            };
            let packed = [packed, b"/", name.as_bytes()].concat();
            match self.any(
                &Place {
                    dir: dir.as_fd(),
                    name,
                    shown: &shown,
                },
                &stat,
                &packed,
                depth + 1,
            ) {
                Err(FilesError::Io {
                    doing: "open",
                    source,
                    ..
                }) if source.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn header(&mut self, packed: &[u8], kind: EntryKind, stat: &Stat) -> Result<(), FilesError> {
        let mode = match (&kind, self.options.file_mode) {
            (EntryKind::File { .. }, Some(mode)) => mode,
            _ => stat.st_mode,
        };
        let entry = Entry {
            path: packed.to_vec(),
            kind,
            mode: mode & 0o7777,
            mtime: stat.st_mtime,
            mtime_nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        };
        self.writer.header(&entry).map_err(FilesError::Stream)
    }
}

fn open(place: &Place<'_>, flags: OFlags) -> Result<OwnedFd, FilesError> {
    rustix::fs::openat(
        place.dir,
        place.name,
        flags | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| failed("open", place.shown, error.into()))
}

fn stat_of(fd: impl AsFd, place: &Place<'_>) -> Result<Stat, FilesError> {
    rustix::fs::fstat(fd).map_err(|error| failed("open", place.shown, error.into()))
}

fn is_dot(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> FilesError {
    FilesError::Io {
        doing,
        path: path.to_path_buf(),
        source,
    }
}
