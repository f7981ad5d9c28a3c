//! Files and directories.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode};
use banger_ops::HostResult;

/// An error of the file system as users see it: the attempt, the object, the cause.
pub(crate) fn failed(attempt: &str, path: &Path, error: &io::Error) -> ApiError {
    let message = format!("cannot {attempt} {}: {error}", path.display());
    match error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error)
    {
        Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG) => {
            ApiError::new(ErrorCode::NoSpace, message).hint(
                "free some space there (banger vm prune, banger image list), or use a smaller disk",
            )
        }
        Some(rustix::io::Errno::ROFS) => ApiError::new(ErrorCode::HostNotReady, message).hint(
            "banger writes there: make the file system writable again, or set BANGER_HOME to a folder on another one",
        ),
        _ => ApiError::new(ErrorCode::Internal, message),
    }
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn make_dir(path: &Path) -> HostResult<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
    .map_err(|error| failed("make directory", path, &error))
}

pub(super) fn remove_file(path: &Path) -> HostResult<()> {
    unless_absent(fs::remove_file(path)).map_err(|error| failed("remove", path, &error))
}

pub(super) fn remove_tree(path: &Path) -> HostResult<()> {
    // std's remove_dir_all does not follow links (openat, unlinkat).
    unless_absent(fs::remove_dir_all(path)).map_err(|error| failed("remove", path, &error))
}

pub(super) fn rename(from: &Path, to: &Path) -> HostResult<()> {
    fs::rename(from, to).map_err(|error| failed(&format!("move {} to", from.display()), to, &error))
}

pub(super) fn link(from: &Path, to: &Path) -> HostResult<()> {
    remove_file(to)?;
    fs::hard_link(from, to).map_err(|error| {
        failed(
            &format!("give {} the second name", from.display()),
            to,
            &error,
        )
    })
}

pub(super) fn copy_dir(from: &Path, to: &Path) -> HostResult<()> {
    remove_tree(to)?;
    if !exists(from)? {
        return Ok(());
    }
    make_dir(to)?;
    for file in list_dir(from)? {
        let Some(name) = file.file_name().filter(|_| file.is_file()) else {
            continue;
        };
        let copy = to.join(name);
        fs::copy(&file, &copy).map_err(|error| failed("copy", &file, &error))?;
        sync_file(&copy)?;
    }
    sync_dir(to)
}

pub(super) fn exists(path: &Path) -> HostResult<bool> {
    path.try_exists()
        .map_err(|error| failed("look for", path, &error))
}

pub(super) fn list_dir(path: &Path) -> HostResult<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|error| failed("list", path, &error)),
    }
}

pub(super) fn file_len(path: &Path) -> HostResult<Option<u64>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path, &error)),
    }
}

pub(super) fn sync_file(path: &Path) -> HostResult<()> {
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed("sync", path, &error))
}

pub(super) fn sync_dir(path: &Path) -> HostResult<()> {
    match fs::File::open(path).and_then(|dir| dir.sync_all()) {
        // A directory that went with its parent needs no sync; the parent's own is what counts.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| failed("sync", path, &error)),
    }
}
