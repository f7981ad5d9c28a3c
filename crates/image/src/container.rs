//! An image made of a container image: its tree and its configuration.

use banger_disk::tree::Tree;

use crate::defaults::RunDefaults;
use crate::error::ImageError;
use crate::metadata::{ImageMetadata, ImageOrigin, OriginKind};
use crate::progress::Watch;
use crate::provenance::Provenance;
use crate::seed::WorkSeed;
use crate::store::{Destination, Parts, write_image};

/// A container image whose layers are merged.
#[derive(Debug)]
pub struct ContainerImage<'a> {
    /// Its files.
    pub tree: &'a Tree,
    /// Command, environment and user that it starts with.
    pub defaults: RunDefaults,
    /// Its reference, digests and history.
    pub provenance: Provenance,
    /// Warnings for the user: for example, losses of the conversion, or another platform.
    pub warnings: Vec<String>,
}

/// Makes an image of a container image. A seed that is read from an archive is unpacked in `scratch`.
///
/// # Errors
/// The seed cannot be read, or the image cannot be written. The destination then has no `image.json`; the caller removes
/// it.
pub fn from_container(
    image: ContainerImage<'_>,
    seed: &WorkSeed,
    destination: &Destination<'_>,
    scratch: &std::path::Path,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let parts = Parts {
        origin: ImageOrigin {
            kind: OriginKind::Container,
            name: image.provenance.reference.clone(),
        },
        defaults: image.defaults,
        provenance: Some(image.provenance),
        seed: seed.read(Some(image.tree), scratch, watch)?,
        warnings: image.warnings,
    };
    write_image(image.tree, parts, destination, watch)
}
