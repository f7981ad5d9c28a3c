//! Errors of writing an image.

use std::io;
use std::path::PathBuf;

use super::xattr::XattrError;

/// Reason why an image cannot be written. Nothing is left at its path.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The new file cannot be made, or exists already.
    #[error("cannot create disk image {}", path.display())]
    Create {
        /// The image.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The new file cannot be written, for example because the file system is full.
    #[error("cannot write disk image {}", path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Contents of a file cannot be read.
    #[error("cannot read the contents of \"{entry}\"")]
    Contents {
        /// Path of the file in the tree.
        entry: String,
        /// The system's answer; `UnexpectedEof` when the source is shorter than announced.
        #[source]
        source: io::Error,
    },
    /// The tree does not fit the requested size.
    #[error("the files need a disk of {needed} bytes, {size} were asked for")]
    DoesNotFit {
        /// Size that the files need, in bytes.
        needed: u64,
        /// Requested size in bytes.
        size: u64,
    },
    /// Smaller than any useful file system.
    #[error("a disk of {size} bytes is too small, at least {least} are needed")]
    TooSmall {
        /// Requested size in bytes.
        size: u64,
        /// Least size, in bytes.
        least: u64,
    },
    /// More blocks than 32 bits number.
    #[error(
        "a disk of {size} bytes is too large: ext4 without 64-bit block numbers ends at 16 TiB"
    )]
    TooLarge {
        /// Requested size in bytes.
        size: u64,
    },
    /// More files than the disk's groups can number.
    #[error("{inodes} files do not fit a disk of {size} bytes, whatever their contents")]
    TooManyInodes {
        /// Number of files.
        inodes: u64,
        /// Size of the disk, in bytes.
        size: u64,
    },
    /// A file larger than ext4 takes.
    #[error("\"{entry}\" has {size} bytes, ext4 takes at most 16 TiB")]
    FileTooLarge {
        /// Path of the file in the tree.
        entry: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A directory larger than an index of two levels.
    #[error("\"{entry}\" has more entries than one directory holds")]
    DirectoryTooLarge {
        /// Path of the directory in the tree.
        entry: String,
    },
    /// Extended attributes that cannot be stored.
    #[error("cannot store \"{entry}\"")]
    Xattrs {
        /// Path of the node in the tree.
        entry: String,
        /// Cause.
        #[source]
        source: XattrError,
    },
    /// The caller's progress function asked to stop.
    #[error("writing the disk image was cancelled")]
    Cancelled,
}
