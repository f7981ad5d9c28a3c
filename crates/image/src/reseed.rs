//! An image with another work seed: its base is linked, not copied.

use std::fs;
use std::path::Path;

use crate::error::ImageError;
use crate::metadata::{BASE, ImageMetadata};
use crate::progress::Watch;
use crate::seed::{SeedFrom, WorkSeed};
use crate::store::{Base, Destination, Parts, describe};

/// Makes an image of the base in `image` and another work seed. Both must lie on one file system.
///
/// # Errors
/// The image or the seed cannot be read; its own `/root` is requested and the base is a disk image that banger did not
/// write; or it cannot be written. The destination then has no `image.json`; the caller removes it.
pub fn reseed(
    image: &Path,
    seed: &WorkSeed,
    destination: &Destination<'_>,
    scratch: &Path,
    watch: &mut Watch<'_>,
) -> Result<ImageMetadata, ImageError> {
    let metadata = ImageMetadata::read(image)?;
    let base = image.join(BASE);
    let own = matches!(seed.from, SeedFrom::Auto | SeedFrom::Root) && metadata.is_ours();
    let tree = own.then(|| banger_disk::read_tree(&base)).transpose()?;
    let parts = Parts {
        seed: seed.read(tree.as_ref(), scratch, watch)?,
        origin: metadata.source,
        defaults: metadata.defaults,
        provenance: metadata.provenance,
        // Those of another seed went with it.
        warnings: metadata
            .warnings
            .into_iter()
            .filter(|told| !told.starts_with("work seed: "))
            .collect(),
    };
    let linked = destination.folder.join(BASE);
    fs::hard_link(&base, &linked).map_err(|source| ImageError::io("link", &linked, source))?;
    let base = Base {
        disk: metadata.base,
        entries: metadata.entries,
        init: metadata.init,
        apparmor_parser: metadata.apparmor_parser,
    };
    describe(base, parts, destination, watch)
}
