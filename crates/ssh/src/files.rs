//! Replacing a file as a whole.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::SshError;

/// Puts a new file in the place of `path`, and on the disk. Mode and owner are the old one's; without an old one the mode is
/// `new_mode`.
pub(crate) fn replace(path: &Path, bytes: &[u8], new_mode: u32) -> io::Result<()> {
    put(path, bytes, new_mode, true)
}

fn put(path: &Path, bytes: &[u8], new_mode: u32, lasting: bool) -> io::Result<()> {
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mode = old.as_ref().map_or(new_mode, |old| old.mode() & 0o7777);
    let beside = beside(path);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        if let Some(old) = &old {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if lasting {
            file.sync_all()?;
        }
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // A failed removal changes nothing: the first error is the one that the caller needs.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".banger-{}", std::process::id()));
    PathBuf::from(name)
}

/// Writes a file of banger's own, mode 0600, unless it has that content already. A missing folder is made, mode 0700.
///
/// # Errors
/// The system call that failed.
pub fn write_if_changed(path: &Path, content: &str) -> Result<(), SshError> {
    write(path, content, true)
}

/// The same for a file that is made anew at each start, and so need not last: nobody waits for the disk.
pub(crate) fn write_anew(path: &Path, content: &str) -> Result<(), SshError> {
    write(path, content, false)
}

fn write(path: &Path, content: &str, lasting: bool) -> Result<(), SshError> {
    if fs::read(path).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        make_folder(folder).map_err(SshError::io("make", folder))?;
    }
    put(path, content.as_bytes(), 0o600, lasting).map_err(SshError::io("write", path))
}

/// Makes a folder for its owner alone, with its parents.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}
