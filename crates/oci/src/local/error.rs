//! Why a local image cannot be used.

use std::io;
use std::path::PathBuf;

use crate::archive::ArchiveError;
use crate::blobs::BlobError;
use crate::digest::Digest;
use crate::layers::LayerError;
use crate::manifest::DocumentError;
use crate::unpacking::LayerUnpackError;

/// Why a local image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalImageError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The path cannot be looked at.
    #[error("cannot open image {}", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Neither a layout nor what `docker save` writes.
    #[error("{} is no image: it has neither an index.json nor a manifest.json", path.display())]
    NoImage {
        /// The path.
        path: PathBuf,
    },
    /// A blob is missing or wrong.
    #[error("cannot use image {}", path.display())]
    Blob {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// A document is broken.
    #[error("cannot use image {}", path.display())]
    Document {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// What should be a manifest's digest is none.
    #[error("cannot look for the image")]
    Manifest(#[source] crate::digest::DigestError),
    /// None of its images is the one asked for.
    #[error("{} has no image {wanted}; it has: {has}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// Several of its images could be meant.
    #[error("{} has several images, name one of: {has}", path.display())]
    Several {
        /// The path.
        path: PathBuf,
        /// What there is.
        has: String,
    },
    /// Manifest and configuration do not fit each other.
    #[error("image {} is inconsistent: {layers} layers, {diff_ids} of them in its configuration", path.display())]
    LayerCount {
        /// The path.
        path: PathBuf,
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the configuration.
        diff_ids: usize,
    },
    /// A layer cannot be unpacked.
    #[error("cannot unpack image {}", path.display())]
    Unpack {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<LayerUnpackError>,
    },
    /// The layers cannot be merged.
    #[error("cannot unpack image {}", path.display())]
    Layers {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: LayerError,
    },
}

impl LocalImageError {
    /// The blob whose content is not what its digest says, when that is what is wrong.
    pub fn damaged_blob(&self) -> Option<Digest> {
        let blob = match self {
            Self::Blob { source, .. } => source,
            Self::Unpack { source, .. } => match &**source {
                LayerUnpackError::Blob(blob) => blob,
                _ => return None,
            },
            _ => return None,
        };
        match blob {
            BlobError::Digest { name, .. } | BlobError::Size { name, .. } => name.parse().ok(),
            _ => None,
        }
    }
}
