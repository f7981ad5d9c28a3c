//! Errors with files.

use std::path::PathBuf;

use crate::schema::TransferFailure;
use crate::wire::frame::FrameError;

/// A tree could not be packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file system call failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// Action that failed: `open`, `create`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// An entry of the stream that is not allowed.
    #[error("entry {}: {why}", path.display())]
    Refused {
        /// Its name in the stream.
        path: PathBuf,
        /// The problem with it.
        why: &'static str,
    },
    /// The target cannot take the files.
    #[error("{}: {why}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// Reason.
        why: &'static str,
    },
    /// The stream is no tar stream.
    #[error("tar stream: {0}")]
    Archive(&'static str),
    /// There is more than the caller allowed.
    #[error("more than the {limit} {what} allowed")]
    Limit {
        /// Things that are limited.
        what: &'static str,
        /// Their greatest number.
        limit: u64,
    },
    /// The stream itself failed.
    #[error("tar stream broke off")]
    Stream(#[source] std::io::Error),
}

impl FilesError {
    /// The failure for the other side: the path, and the cause with its own causes.
    #[must_use]
    pub fn to_failure(&self) -> TransferFailure {
        let (path, message) = match self {
            Self::Io {
                doing,
                path,
                source,
            } => (
                path.display().to_string(),
                format!("cannot {doing}: {source}"),
            ),
            Self::Refused { path, why } | Self::Target { path, why } => {
                (path.display().to_string(), (*why).to_owned())
            }
            Self::Stream(source) => (String::new(), format!("{self}: {source}")),
            Self::Archive(_) | Self::Limit { .. } => (String::new(), self.to_string()),
        };
        TransferFailure { path, message }
    }
}

/// A transfer between host and guest failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// On this side.
    #[error(transparent)]
    Here(#[from] FilesError),
    /// On the other side.
    #[error("guest: {}{}{}", .0.path, if .0.path.is_empty() { "" } else { ": " }, .0.message)]
    There(TransferFailure),
    /// The frames between them broke.
    #[error("file transfer")]
    Frame(#[from] FrameError),
    /// The guest neither took nor gave a byte for this time.
    #[error("file transfer: the guest did nothing for {:.0} s", .0.as_secs_f64())]
    Stalled(std::time::Duration),
    /// The other side sent an unexpected message, or the end of the stream.
    #[error("file transfer: {0}")]
    Unexpected(&'static str),
}
