//! Digests of files of a tree, and their removal: a host asks for both before it replaces what it once sent.
//!
//! Every path is resolved beneath the one directory that the host named, and links on the way are not followed
//! (`openat2(2)`): what somebody in the guest put there in the meantime cannot lead elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use banger_guest::limits::MAX_TREE_FILES;
use banger_guest::{Failure, Found, TreeFiles, TreePath};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::digest;
use crate::failure::failure;
use crate::guest_state::Guest;

/// Kind and digest of each of these files.
pub(super) fn digest(guest: &Guest, asked: &TreeFiles) -> Result<Vec<Found>, Failure> {
    let root = match root_of(guest, asked)? {
        Some(root) => root,
        None => return Ok(vec![Found::Absent; asked.files.len()]),
    };
    let found = asked.files.iter().map(|path| {
        found(guest, &root, path).map_err(|error| failure(shown(asked, path), "read", error))
    });
    found.collect()
}

/// Removes these files, and the directories below the root that this leaves empty.
pub(super) fn remove(guest: &Guest, asked: &TreeFiles) -> Result<u64, Failure> {
    let Some(root) = root_of(guest, asked)? else {
        return Ok(0);
    };
    let mut removed = 0;
    for path in &asked.files {
        match remove_one(&root, path.as_path()) {
            Ok(true) => removed += 1,
            Ok(false) => {}
            Err(error) => return Err(failure(shown(asked, path), "remove", error)),
        }
    }
    Ok(removed)
}

fn shown(asked: &TreeFiles, path: &TreePath) -> String {
    format!(
        "file {}/{}",
        asked.root,
        String::from_utf8_lossy(path.as_bytes())
    )
}

/// The directory, when there is one.
fn root_of(guest: &Guest, asked: &TreeFiles) -> Result<Option<OwnedFd>, Failure> {
    super::reply::running(guest)?;
    if asked.files.len() > MAX_TREE_FILES {
        let why = format!("{} files in one call", asked.files.len());
        return Err(failure("files", "be few enough", why));
    }
    let path = guest.machine().root().join(asked.root.relative());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(root) => Ok(Some(root)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(failure(asked.root.to_string(), "open", error)),
    }
}

fn beneath(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how)
}

/// The directory that holds `path`, and its name in it; `None` when there is no such directory.
pub(super) fn parent_of<'a>(
    root: &OwnedFd,
    path: &'a Path,
) -> Result<Option<(OwnedFd, &'a OsStr)>, Errno> {
    let Some(name) = path.file_name() else {
        return Ok(None);
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match beneath(root, parent, OFlags::PATH | OFlags::DIRECTORY) {
        Ok(parent) => Ok(Some((parent, name))),
        // A link or a file where a directory was: what was below it is not there any more.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

fn found(guest: &Guest, root: &OwnedFd, path: &TreePath) -> Result<Found, std::io::Error> {
    let Some((parent, name)) = parent_of(root, path.as_path())? else {
        return Ok(Found::Absent);
    };
    let stat = match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Found::Absent),
        Err(error) => return Err(error.into()),
    };
    // Before it is read: what is written meanwhile makes it another.
    guest.looked().saw(&stat);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
            Ok(Found::File {
                sha256: digest::of_reader(File::from(file))?,
                executable: stat.st_mode & 0o100 != 0,
            })
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&parent, name, Vec::new())?;
            Ok(Found::Link {
                sha256: digest::of_bytes(target.to_bytes()),
            })
        }
        FileType::Directory => Ok(Found::Directory),
        _ => Ok(Found::Other),
    }
}

fn remove_one(root: &OwnedFd, path: &Path) -> Result<bool, Errno> {
    let Some((parent, name)) = parent_of(root, path)? else {
        return Ok(false);
    };
    let removed = match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) => true,
        Err(Errno::NOENT) => false,
        // A directory: only an empty one goes (unlink(2) names both errors).
        Err(Errno::ISDIR | Errno::PERM) => {
            match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                Ok(()) => true,
                Err(Errno::NOTEMPTY | Errno::EXIST) => false,
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    if removed {
        remove_empty_parents(root, path);
    }
    Ok(removed)
}

/// A directory that still holds something, or that somebody just removed, ends the way up.
fn remove_empty_parents(root: &OwnedFd, path: &Path) {
    for parent in path.ancestors().skip(1) {
        let removed = match parent_of(root, parent) {
            Ok(Some((above, name))) => {
                rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR).is_ok()
            }
            _ => false,
        };
        if !removed {
            return;
        }
    }
}
