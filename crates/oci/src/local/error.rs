//! Failures of opening or reading a local image.

use std::io;
use std::path::PathBuf;

use crate::archive::ArchiveError;
use crate::blobs::BlobError;
use crate::choice::ChoiceError;
use crate::digest::Digest;
use crate::layers::LayerError;
use crate::manifest::DocumentError;
use crate::unpacking::LayerUnpackError;

/// Failure to use a local image.
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
    #[error(
        "{image} is no image: it has neither an index.json nor a manifest.json{}",
        root_hint(*is_rootfs)
    )]
    NoImage {
        /// The opened image.
        image: String,
        /// True when it looks like a root file system instead.
        is_rootfs: bool,
    },
    /// A blob is missing or wrong.
    #[error("cannot use {image}")]
    Blob {
        /// Name that the user asked for.
        image: String,
        /// Cause of the failure.
        #[source]
        source: BlobError,
    },
    /// A document is broken.
    #[error("cannot use {image}")]
    Document {
        /// Name that the user asked for.
        image: String,
        /// Fault of the document.
        #[source]
        source: DocumentError,
    },
    /// The manifest's digest is malformed.
    #[error("cannot look for the image")]
    Manifest(#[source] crate::digest::DigestError),
    /// None of its images is the one asked for, or several are.
    #[error("cannot use {image}")]
    Choice {
        /// Name that the user asked for.
        image: String,
        /// The refusal.
        #[source]
        source: ChoiceError,
    },
    /// A layer that the image's maker has left out, as it is done with those of Windows.
    #[error(
        "cannot use {image}: layer {layer} is not in it but kept elsewhere ({url}), and nothing is fetched from there: make the \
         image again with all of its layers"
    )]
    Elsewhere {
        /// Name that the user asked for.
        image: String,
        /// The layer.
        layer: Digest,
        /// The address in the manifest, printable.
        url: String,
    },
    /// Manifest and configuration do not fit each other.
    #[error(
        "image {image} is inconsistent: its manifest lists {layers} layers, its configuration {diff_ids}"
    )]
    LayerCount {
        /// Name that the user asked for.
        image: String,
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the configuration.
        diff_ids: usize,
    },
    /// A layer cannot be unpacked.
    #[error("cannot unpack image {image}")]
    Unpack {
        /// Name that the user asked for.
        image: String,
        /// Cause of the failure.
        #[source]
        source: Box<LayerUnpackError>,
    },
    /// The layers cannot be merged.
    #[error("cannot unpack image {image}")]
    Layers {
        /// Name that the user asked for.
        image: String,
        /// Cause of the failure.
        #[source]
        source: LayerError,
    },
}

fn root_hint(is_rootfs: bool) -> &'static str {
    match is_rootfs {
        true => {
            "; it looks like a root file system, as `docker export` writes them: add it with `banger image register NAME --rootfs PATH`"
        }
        false => "",
    }
}

impl LocalImageError {
    /// Tells whether the fault is a layout's index that leads nowhere; another index beside it may be right.
    pub(super) fn is_of_the_index(&self) -> bool {
        match self {
            Self::LayerCount { .. } => true,
            Self::Blob { source, .. } => matches!(source, BlobError::Missing { .. }),
            Self::Choice { source, .. } => {
                matches!(source, ChoiceError::NoName { .. } | ChoiceError::Nothing)
            }
            _ => false,
        }
    }

    /// The blob whose content does not have its digest, when that is the fault.
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
