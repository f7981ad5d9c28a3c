//! Errors of this crate.

use std::io;
use std::path::PathBuf;

/// Something about SSH could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// A path cannot be written into a configuration so that every version of ssh reads it back.
    #[error("path {path:?} cannot be written into an SSH configuration: it contains {what}")]
    Path {
        /// The path.
        path: PathBuf,
        /// The offending part, in words.
        what: &'static str,
    },
    /// The user's file does not want to be changed.
    #[error("{} is read-only", .0.display())]
    ReadOnly(PathBuf),
    /// The user's file is a link to nothing.
    #[error("{} is a link to a file that does not exist", .0.display())]
    Dangling(PathBuf),
    /// The user's file is no file.
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
    /// The user's file is larger than any configuration.
    #[error("{} has more than {limit} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// Banger's block in the user's file has a beginning and no end.
    #[error("{}: the block that begins at line {line} has lost its end \"{end}\"", .path.display())]
    Unfenced {
        /// The file.
        path: PathBuf,
        /// Number of the first line, from 1.
        line: usize,
        /// The line that is missing.
        end: &'static str,
    },
    /// The VM's host key is malformed.
    #[error("the host key cannot be read")]
    HostKey(#[source] russh::keys::ssh_key::Error),
    /// The conversation with a client failed.
    #[error("SSH failed")]
    Server(#[from] russh::Error),
    /// A file or folder cannot be used.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// `read`, `write`, …
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl SshError {
    /// For `map_err`: `what` could not be done to `path`.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
