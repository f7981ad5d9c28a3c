//! Errors of this crate, as fragments that a caller composes with their sources.

use std::io;
use std::path::{Path, PathBuf};

use banger_watch::Cancelled;

use crate::layer::LayerError;

/// Reason why an image could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file of the host could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// Action that failed: `read`, `write`, `sync`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Something is larger than its limit.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The large thing.
        what: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// There is no such recipe.
    #[error("no recipe `{name}`; there are {known}")]
    UnknownRecipe {
        /// The requested name.
        name: String,
        /// All recipes.
        known: String,
    },
    /// A recipe's text is malformed.
    #[error("cannot read recipe `{name}`")]
    BadRecipe {
        /// The recipe.
        name: String,
        /// Error of the parser.
        #[source]
        source: toml::de::Error,
    },
    /// The host has no package sources to build Debian from.
    #[error(
        "no source of Debian {suite} packages in {}: images are built from the host's own Debian sources; on another host, \
         make a root file system elsewhere and add it with `banger image register NAME --rootfs FILE|DIR|TAR`",
        folder.display()
    )]
    NoDebianSources {
        /// The release.
        suite: String,
        /// Folder in which sources were searched.
        folder: PathBuf,
    },
    /// mmdebstrap is not installed.
    #[error(
        "mmdebstrap is not installed: install it (Debian: `apt install mmdebstrap`), or add a root file system that was made \
         elsewhere with `banger image register NAME --rootfs FILE|DIR|TAR`"
    )]
    NoMmdebstrap,
    /// mmdebstrap cannot run as this user.
    #[error("cannot build a root file system as this user: {}", reasons.join("; "))]
    NoBuildMode {
        /// The missing needs of each mode.
        reasons: Vec<String>,
    },
    /// A program of the host failed.
    #[error("cannot build {what}")]
    Build {
        /// The recipe.
        what: String,
        /// Exit of the program and its last output.
        #[source]
        source: banger_command::CommandError,
    },
    /// An archive cannot be read.
    #[error(transparent)]
    Archive(#[from] banger_oci::ArchiveError),
    /// A folder cannot be read.
    #[error(transparent)]
    HostDir(#[from] banger_oci::HostDirError),
    /// A change of the tree is impossible.
    #[error("cannot change {path} in the tree")]
    Change {
        /// The path in the tree.
        path: String,
        /// Reason.
        #[source]
        source: banger_disk::tree::TreeError,
    },
    /// A volume label of banger's own is impossible.
    #[error("cannot label a disk image")]
    Label {
        /// Reason.
        #[source]
        source: banger_disk::LabelError,
    },
    /// A disk image cannot be written.
    #[error(transparent)]
    WriteImage(#[from] banger_disk::WriteError),
    /// A base that banger has written cannot be read back.
    #[error(transparent)]
    ReadImage(#[from] banger_disk::ReadError),
    /// The base is a disk image that banger did not write.
    #[error(
        "image \"{name}\" was registered from a disk image, which is never read on the host: make a VM of it, `banger vm save` \
         that as an image, and export that one"
    )]
    NotOurs {
        /// The image.
        name: String,
    },
    /// A layer cannot be written.
    #[error(transparent)]
    Layer(LayerError),
    /// A disk image cannot be copied in.
    #[error(transparent)]
    Copy(#[from] banger_disk::sparse::SparseError),
    /// A file is not a usable disk image.
    #[error(transparent)]
    NotAnImage(#[from] banger_disk::superblock::SuperblockError),
    /// The root file system cannot be a base.
    #[error("{}: {why}", path.display())]
    Unsuitable {
        /// The given path.
        path: PathBuf,
        /// The problem, and a way out.
        why: String,
    },
    /// The image has no `/root` to make a work seed of.
    #[error("no work seed can be made of the image's own /root: {why}")]
    NoRootForSeed {
        /// Reason.
        why: &'static str,
    },
    /// `image.json` cannot be read or written.
    #[error(transparent)]
    Description(#[from] banger_durable::DescriptionError),
    /// A folder does not hold a complete image.
    #[error("{}: {why}", path.display())]
    NotAnImageFolder {
        /// The folder or the file in it.
        path: PathBuf,
        /// The missing part.
        why: String,
    },
    /// `image.json` cannot be parsed.
    #[error("cannot parse {}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Error of the parser.
        #[source]
        source: serde_json::Error,
    },
}

impl From<Cancelled> for ImageError {
    fn from(_stopped: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<LayerError> for ImageError {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Cancelled => Self::Cancelled,
            error => Self::Layer(error),
        }
    }
}

impl ImageError {
    /// Wraps a failed call on a file.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
