//! Unpacking of an untrusted stream.
//!
//! The caller alone decides the target: the stream's top name is replaced, and everything below is made by `openat2(2)`
//! with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` under one open directory. So no entry can leave it: not by `..`, not by
//! an absolute name, not through a link that was there before, is part of the stream, or is made by another process
//! meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::archive::{ArchiveReader, Entry, EntryKind};
use super::place::{Placed, Target, TopName, failed, own, place};
use super::{FilesError, Looked};
use crate::limits::{MAX_NAME, MAX_TRANSFER_DEPTH, MAX_TRANSFER_ENTRIES};
use crate::schema::TransferDone;

/// Permission bits that are kept: no set-user-id, no set-group-id.
const KEPT_MODE: u32 = 0o1777;
/// Name of a new file until it replaces an old one.
const BESIDE: &str = ".banger-incoming";
/// A piece of zeros of this size, in bytes, becomes a hole.
const PIECE: usize = 64 * 1024;

/// Most contents of a stream.
#[derive(Debug, Clone)]
pub struct UnpackLimits {
    /// Entries.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            entries: MAX_TRANSFER_ENTRIES,
            bytes: u64::MAX,
        }
    }
}

/// Unpacks a tar stream. Entries made before an error stay, except for an incomplete file.
///
/// # Errors
/// Names the entry or path that could not be made.
pub fn unpack<R: Read>(
    from: R,
    target: &Target,
    limits: &UnpackLimits,
) -> Result<TransferDone, FilesError> {
    unpack_with(from, target, limits, None)
}

/// [`unpack`] that replaces only files that are as `looked` saw them; files of a `.git` are not checked.
///
/// # Errors
/// As [`unpack`], and names the first file that was changed.
pub fn unpack_unchanged<R: Read>(
    from: R,
    target: &Target,
    limits: &UnpackLimits,
    looked: &Looked,
) -> Result<TransferDone, FilesError> {
    unpack_with(from, target, limits, Some(looked))
}

fn unpack_with<R: Read>(
    from: R,
    target: &Target,
    limits: &UnpackLimits,
    looked: Option<&Looked>,
) -> Result<TransferDone, FilesError> {
    let mut reader = ArchiveReader::new(from);
    let place = place(target)?;
    let mut unpacker = Unpacker {
        place,
        target,
        looked,
        top: None,
        open: Vec::new(),
        done: TransferDone::default(),
    };
    let placed = unpacker.all(&mut reader, limits);
    if placed.is_err() {
        unpacker.place.take_back();
    }
    placed?;
    reader.drain()?;
    Ok(unpacker.done)
}

/// A directory of the stream whose mode and time are set at its end: until then it must be writable.
struct OpenDirectory {
    names: Vec<OsString>,
    fd: OwnedFd,
    /// `None` for one that existed before: it keeps its mode and time.
    finish: Option<Entry>,
}

struct Unpacker<'a> {
    place: Placed,
    target: &'a Target,
    /// The seen files: if set, only these may be replaced, and only unchanged.
    looked: Option<&'a Looked>,
    /// Top name of the stream, once it is known.
    top: Option<OsString>,
    open: Vec<OpenDirectory>,
    done: TransferDone,
}

impl Unpacker<'_> {
    /// Everything in the stream.
    fn all<R: Read>(
        &mut self,
        reader: &mut ArchiveReader<R>,
        limits: &UnpackLimits,
    ) -> Result<(), FilesError> {
        while let Some(entry) = reader.next_entry()? {
            self.done.entries += 1;
            if self.done.entries > limits.entries {
                return Err(FilesError::Limit {
                    what: "entries",
                    limit: limits.entries,
                });
            }
            if let EntryKind::File { size } = entry.kind {
                self.done.bytes = self.done.bytes.saturating_add(size);
                if self.done.bytes > limits.bytes {
                    return Err(FilesError::Limit {
                        what: "bytes",
                        limit: limits.bytes,
                    });
                }
            }
            self.entry(reader, &entry)?;
        }
        self.close_directories(0)
    }

    fn entry<R: Read>(
        &mut self,
        reader: &mut ArchiveReader<R>,
        entry: &Entry,
    ) -> Result<(), FilesError> {
        let refuse = |why| FilesError::Refused {
            path: entry.display_path(),
            why,
        };
        let names = self.names(entry)?;
        let Some((name, parents)) = names.split_last() else {
            return match entry.kind {
                // The top entry of a stream of which only the contents are placed.
                EntryKind::Directory => self.itself(entry),
                _ => Err(refuse("is not a directory")),
            };
        };
        if self.done.entries == 1 && self.target.must_be_dir && self.place.new {
            self.becomes_directory(entry)?;
        }
        let shared = self
            .open
            .iter()
            .take_while(|dir| parents.starts_with(&dir.names))
            .count();
        self.close_directories(shared)?;
        let dir = match self.open.last() {
            Some(dir) if dir.names == parents => dir
                .fd
                .try_clone()
                .map_err(|source| failed("open", &self.shown(&names), source))?,
            _ => self.beneath(parents)?,
        };
        let shown = self.shown(&names);
        match &entry.kind {
            EntryKind::File { size } => self.file(reader, &dir, name, entry, *size, &shown),
            EntryKind::Symlink { target } => self.symlink(&dir, name, target, entry, &shown),
            EntryKind::Directory => self.directory(&dir, &names, entry, &shown),
            EntryKind::Other => Err(refuse("is neither file, directory nor symlink")),
        }
    }

    /// A directory that was made for what is inside the top entry gets its mode and time when it is left.
    fn itself(&mut self, entry: &Entry) -> Result<(), FilesError> {
        if self.place.new {
            let fd = open_beneath(&self.place.root, OsStr::new("."), OFlags::RDONLY)
                .map_err(|error| failed("open", &self.place.shown, error.into()))?;
            self.open.push(OpenDirectory {
                names: Vec::new(),
                fd,
                finish: Some(entry.clone()),
            });
        }
        Ok(())
    }

    /// Refuses a top entry that cannot become the directory that the destination is to be.
    fn becomes_directory(&self, entry: &Entry) -> Result<(), FilesError> {
        match entry.kind {
            EntryKind::Directory => Ok(()),
            _ => Err(FilesError::Target {
                path: self.target.dest.clone(),
                why: "is not an existing directory",
            }),
        }
    }

    /// The names of an entry below the place, checked.
    fn names(&mut self, entry: &Entry) -> Result<Vec<OsString>, FilesError> {
        let refuse = |why| FilesError::Refused {
            path: entry.display_path(),
            why,
        };
        if entry.path.starts_with(b"/") {
            return Err(refuse("is absolute"));
        }
        let mut names = Vec::new();
        for name in entry.path.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err(refuse("contains '..'")),
                name if name.contains(&0) => return Err(refuse("contains a NUL byte")),
                name if name.len() > MAX_NAME => return Err(refuse("has a name that is too long")),
                name => names.push(OsString::from_vec(name.to_vec())),
            }
        }
        if names.len() > MAX_TRANSFER_DEPTH {
            return Err(refuse("is nested too deeply"));
        }
        let Some(first) = names.first() else {
            return Err(refuse("has no name"));
        };
        if self.top.get_or_insert_with(|| first.clone()) != first {
            return Err(refuse(
                "does not belong to the tree that the stream began with",
            ));
        }
        match &self.place.top {
            TopName::Own => {}
            TopName::Fixed(name) => names[0].clone_from(name),
            TopName::Itself => drop(names.remove(0)),
        }
        Ok(names)
    }

    fn shown(&self, names: &[OsString]) -> PathBuf {
        names
            .iter()
            .fold(self.place.shown.clone(), |path, name| path.join(name))
    }

    fn beneath(&self, names: &[OsString]) -> Result<OwnedFd, FilesError> {
        let path: PathBuf = if names.is_empty() {
            PathBuf::from(".")
        } else {
            names.iter().collect()
        };
        open_beneath(&self.place.root, path.as_os_str(), OFlags::PATH)
            .map_err(|error| failed("enter", &self.shown(names), error.into()))
    }

    fn file<R: Read>(
        &self,
        reader: &mut ArchiveReader<R>,
        dir: &OwnedFd,
        name: &OsStr,
        entry: &Entry,
        size: u64,
        shown: &Path,
    ) -> Result<(), FilesError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600));
        // Most files are new: only one that has the name already costs a second call.
        let fd = match create() {
            Err(Errno::EXIST) if let Some(looked) = self.guards(entry) => {
                return self.exchange(reader, (dir, name), entry, (size, shown), looked);
            }
            Err(Errno::EXIST) => {
                make_room(dir, name, shown)?;
                create()
            }
            created => created,
        };
        let fd = fd.map_err(|error| failed("create", shown, error.into()))?;
        let written = self.fill(reader, File::from(fd), entry, size, shown);
        if written.is_err() {
            // The error that is being reported is more useful than one of the cleanup.
            let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
        }
        written
    }

    /// Files that guard an entry against replacing a changed file; none for entries of a `.git`.
    fn guards(&self, entry: &Entry) -> Option<&Looked> {
        let mut names = entry.path.split(|byte| *byte == b'/');
        self.looked.filter(|_| names.all(|name| name != b".git"))
    }

    /// Makes the file beside the one that it replaces, and exchanges the two; if the old one was changed at the last
    /// moment, they are exchanged back.
    fn exchange<R: Read>(
        &self,
        reader: &mut ArchiveReader<R>,
        (dir, name): (&OwnedFd, &OsStr),
        entry: &Entry,
        (size, shown): (u64, &Path),
        looked: &Looked,
    ) -> Result<(), FilesError> {
        still_as_seen(dir, name, shown, looked)?;
        make_room(dir, OsStr::new(BESIDE), shown)?;
        let create = |error: Errno| failed("create", shown, error.into());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, BESIDE, flags, Mode::from_raw_mode(0o600));
        let mut placed = self
            .fill(reader, File::from(fd.map_err(create)?), entry, size, shown)
            .and_then(|()| swap(dir, name).map_err(create));
        if placed.is_ok() {
            placed = still_as_seen(dir, OsStr::new(BESIDE), shown, looked);
            if placed.is_err() {
                // The changed file gets its name back before anything is removed.
                swap(dir, name).map_err(create)?;
            }
        }
        let removed = rustix::fs::unlinkat(dir, BESIDE, AtFlags::empty());
        placed.and(removed.map_err(|error| failed("replace", shown, error.into())))
    }

    fn fill<R: Read>(
        &self,
        reader: &mut ArchiveReader<R>,
        mut file: File,
        entry: &Entry,
        size: u64,
        shown: &Path,
    ) -> Result<(), FilesError> {
        let mut piece = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
        let mut ends_in_hole = false;
        loop {
            let mut filled = 0;
            while filled < piece.len() {
                match reader.read_content(&mut piece[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            if filled == 0 {
                break;
            }
            let hole = filled == PIECE && piece.iter().all(|byte| *byte == 0);
            ends_in_hole = hole;
            if hole {
                file.seek(SeekFrom::Current(PIECE as i64)).map(drop)
            } else {
                file.write_all(&piece[..filled])
            }
            .map_err(|source| failed("write", shown, source))?;
        }
        if ends_in_hole {
            file.set_len(size)
                .map_err(|source| failed("write", shown, source))?;
        }
        let set = |error: Errno| failed("set mode of", shown, error.into());
        if let Some((uid, gid)) = self.target.owner {
            let (uid, gid) = (
                rustix::fs::Uid::from_raw(uid),
                rustix::fs::Gid::from_raw(gid),
            );
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(set)?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode & KEPT_MODE)).map_err(set)?;
        rustix::fs::futimens(&file, &times(entry)).map_err(set)
    }

    fn symlink(
        &self,
        dir: &OwnedFd,
        name: &OsStr,
        target: &[u8],
        entry: &Entry,
        shown: &Path,
    ) -> Result<(), FilesError> {
        if target.is_empty() || target.contains(&0) {
            return Err(FilesError::Refused {
                path: entry.display_path(),
                why: "is a link to nowhere",
            });
        }
        if let Some(looked) = self.guards(entry) {
            still_as_seen(dir, name, shown, looked)?;
        }
        make_room(dir, name, shown)?;
        let create = |error: Errno| failed("create", shown, error.into());
        rustix::fs::symlinkat(OsStr::from_bytes(target), dir, name).map_err(create)?;
        own(dir, name, self.target.owner).map_err(create)?;
        rustix::fs::utimensat(dir, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).map_err(create)
    }

    fn directory(
        &mut self,
        dir: &OwnedFd,
        names: &[OsString],
        entry: &Entry,
        shown: &Path,
    ) -> Result<(), FilesError> {
        let name = names.last().map_or(OsStr::new("."), OsString::as_os_str);
        let made = match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(failed("create", shown, error.into())),
        };
        let flags = if made { OFlags::RDONLY } else { OFlags::PATH };
        let fd = open_beneath(dir, name, flags)
            .map_err(|error| failed("create", shown, error.into()))?;
        self.open.push(OpenDirectory {
            names: names.to_vec(),
            fd,
            finish: made.then(|| entry.clone()),
        });
        Ok(())
    }

    /// Leaves the open directories behind the first `keep`, innermost first.
    fn close_directories(&mut self, keep: usize) -> Result<(), FilesError> {
        while self.open.len() > keep {
            let Some(OpenDirectory { names, fd, finish }) = self.open.pop() else {
                break;
            };
            let Some(entry) = finish else { continue };
            let set = |error: Errno| failed("set mode of", &self.shown(&names), error.into());
            if let Some((uid, gid)) = self.target.owner {
                let (uid, gid) = (
                    rustix::fs::Uid::from_raw(uid),
                    rustix::fs::Gid::from_raw(gid),
                );
                rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(set)?;
            }
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.mode & KEPT_MODE)).map_err(set)?;
            rustix::fs::futimens(&fd, &times(&entry)).map_err(set)?;
        }
        Ok(())
    }
}

fn open_beneath(dir: &OwnedFd, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat2(
        dir,
        path,
        flags | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Refuses to replace a file that was changed since the host asked for it; a missing file is fine.
fn still_as_seen(
    dir: &OwnedFd,
    name: &OsStr,
    shown: &Path,
    looked: &Looked,
) -> Result<(), FilesError> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Ok(stat) if looked.is_as_seen(&stat) => Ok(()),
        Ok(_) => Err(FilesError::Refused {
            path: shown.to_path_buf(),
            why: "was changed in the meantime",
        }),
        Err(error) => Err(failed("look at", shown, error.into())),
    }
}

/// Exchanges a name with the one beside it, atomically (renameat2(2)).
fn swap(dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    rustix::fs::renameat_with(dir, BESIDE, dir, name, rustix::fs::RenameFlags::EXCHANGE)
}

/// Removes a file or link with this name; a directory stays, and is an error.
fn make_room(dir: &OwnedFd, name: &OsStr, shown: &Path) -> Result<(), FilesError> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) if is_directory(dir, name) => Err(FilesError::Target {
            path: shown.to_path_buf(),
            why: "is a directory, which a file cannot replace",
        }),
        Err(error) => Err(failed("replace", shown, error.into())),
    }
}

fn is_directory(dir: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime,
        tv_nsec: i64::from(entry.mtime_nanos),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

#[cfg(test)]
mod tests;
