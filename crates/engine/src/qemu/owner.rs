//! Owners of a VM's files, when its VMM has a user of its own (the daemon is root).
//!
//! ```text
//! disks, console log, run folder   the VMM's user, for this VM alone
//! kernel, initramfs, base          root's, readable by all: nobody else gets through root's folders to them
//! ```

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown};
use std::path::Path;

use rustix::process::geteuid;

use crate::{EngineError, VmmSpec};

/// Bits that let everybody read a file.
const READABLE: u32 = 0o044;

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
    give(&spec.dir, owner)?;
    let listed = std::fs::read_dir(&spec.dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for entry in listed.map_err(reading(&spec.dir))? {
        give_entry(&entry.path(), owner)?;
    }
    give(&spec.console_log, owner)?;
    for disk in &spec.disks {
        match disk.read_only {
            true => open_to_readers(&disk.path, user)?,
            false => give(&disk.path, owner)?,
        }
    }
    open_to_readers(&spec.kernel, user)?;
    open_to_readers(&spec.initramfs, user)
}

/// Gives a file; one behind a link, where its user has moved it.
fn give(path: &Path, owner: u32) -> Result<(), EngineError> {
    let metadata = path.metadata().map_err(reading(path))?;
    if metadata.uid() == owner {
        return Ok(());
    }
    chown(path, Some(owner), Some(owner)).map_err(giving(path, owner))
}

/// Gives an entry of the run folder, where no link is ours to follow.
fn give_entry(path: &Path, owner: u32) -> Result<(), EngineError> {
    let metadata = path.symlink_metadata().map_err(reading(path))?;
    if metadata.uid() == owner {
        return Ok(());
    }
    lchown(path, Some(owner), Some(owner)).map_err(giving(path, owner))
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> EngineError {
    EngineError::io(format!("read {}", path.display()))
}

fn giving(path: &Path, owner: u32) -> impl FnOnce(io::Error) -> EngineError {
    EngineError::io(format!("give {} to user {owner}", path.display()))
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
