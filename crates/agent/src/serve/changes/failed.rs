//! Paths in bytes, and failures at them.

use std::path::{Path, PathBuf};

use banger_guest::files::FilesError;

pub(super) fn as_path(path: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(path))
}

pub(super) fn failed(
    doing: &'static str,
    path: impl Into<PathBuf>,
    source: std::io::Error,
) -> FilesError {
    FilesError::Io {
        doing,
        path: path.into(),
        source,
    }
}
