//! Owners of a VM's files, when its VMM has a user of its own (the daemon is root).
//!
//! ```text
//! disks, memory, console log, run folder   the VMM's user, for this VM alone
//! kernel, initramfs, base, layers  root's, readable by all: nobody else gets through root's folders to them
//! ```

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, chownat, statat};
use rustix::process::{Gid, Uid, geteuid};

use crate::{EngineError, VmmSpec};

/// Permission bits of a saved guest.
const SEALED: u32 = 0o400;
/// Bits that let everybody read a file.
const READABLE: u32 = 0o044;

/// Treatment of a file that is a link.
#[derive(Debug, Clone, Copy)]
enum Links {
    /// Its user has moved the file.
    Follow,
    /// No link of the run folder is ours to follow.
    Keep,
}

/// Gives what the VMM writes to its `user`, and lets it read the rest. Without a user everything becomes the daemon's
/// own again: a VMM of root has no capability to open what is another's.
///
/// # Errors
/// A file is gone, or its file system refuses.
pub(super) fn hand_over(spec: &VmmSpec, user: Option<u32>) -> Result<(), EngineError> {
    let daemon = geteuid();
    if !daemon.is_root() {
        return Ok(());
    }
    let owner = user.unwrap_or(daemon.as_raw());
    give(&spec.dir, owner, Links::Follow)?;
    let listed = std::fs::read_dir(&spec.dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for entry in listed.map_err(EngineError::io(format!("read {}", spec.dir.display())))? {
        give(&entry.path(), owner, Links::Keep)?;
    }
    give(&spec.console_log, owner, Links::Follow)?;
    for disk in &spec.disks {
        match disk.read_only {
            true => open_to_readers(&disk.path, user)?,
            false => give(&disk.path, owner, Links::Follow)?,
        }
        // The user of the VMM that wrote a layer has no more part in it.
        for layer in disk.below.iter().flat_map(|below| &below.layers) {
            give(layer, daemon.as_raw(), Links::Keep)?;
            open_to_readers(layer, user)?;
        }
    }
    if let Some(file) = spec.memory.file() {
        give(file, owner, Links::Keep)?;
    }
    open_to_readers(&spec.kernel, user)?;
    open_to_readers(&spec.initramfs, user)
}

/// Makes a file the daemon's own again, which nobody writes any more.
pub(super) fn seal(file: &Path) -> Result<(), EngineError> {
    let daemon = geteuid();
    if daemon.is_root() {
        give(file, daemon.as_raw(), Links::Keep)?;
    }
    let mode = std::fs::Permissions::from_mode(SEALED);
    std::fs::set_permissions(file, mode)
        .map_err(EngineError::io(format!("seal {}", file.display())))
}

/// Gives a file. `links` says what to do with one that is a link.
fn give(path: &Path, owner: u32, links: Links) -> Result<(), EngineError> {
    let flags = match links {
        Links::Follow => AtFlags::empty(),
        Links::Keep => AtFlags::SYMLINK_NOFOLLOW,
    };
    let found =
        statat(CWD, path, flags).map_err(EngineError::io(format!("read {}", path.display())))?;
    if found.st_uid == owner {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    chownat(CWD, path, Some(uid), Some(gid), flags).map_err(EngineError::io(format!(
        "give {} to user {owner}",
        path.display()
    )))
}

fn open_to_readers(path: &Path, user: Option<u32>) -> Result<(), EngineError> {
    let failed = || EngineError::io(format!("make {} readable", path.display()));
    let metadata = path.metadata().map_err(failed())?;
    let mode = metadata.permissions().mode();
    if user.is_none() || mode & READABLE == READABLE {
        return Ok(());
    }
    let mode = std::fs::Permissions::from_mode(mode | READABLE);
    std::fs::set_permissions(path, mode).map_err(failed())
}
