//! The work seed of an image that is made anew from the same source: a seed that its user has chosen is kept, one of the
//! image's own `/root` is made anew with it.

use banger_api::{ApiError, ImageName};
use banger_image::{ImageMetadata, SeedChoice};
use banger_ops::{Events as _, ImageSource, SeedWish};
use banger_store::image;

use crate::context::Daemon;
use crate::failure;
use crate::operations::Running;

/// Lets `source` keep the seed that the image `name` has by its user's choice, when it is to be made of the same source and
/// nothing else was asked for.
///
/// # Errors
/// Only the store's.
pub(super) fn keep(
    daemon: &Daemon,
    op: &Running,
    name: &ImageName,
    source: ImageSource,
) -> Result<ImageSource, ApiError> {
    let Some(record) = daemon.read(|db| image::by_name(db, name.as_str()))? else {
        return Ok(source);
    };
    let folder = daemon.paths.images().join(&record.digest);
    let older = match ImageMetadata::read(&folder) {
        Ok(older) => older,
        Err(error) => {
            // Making it anew may be meant to mend just that.
            op.warn(&format!(
                "whether \"{name}\" has a work seed of your own cannot be read: {}",
                failure::chain(&error)
            ));
            return Ok(source);
        }
    };
    if older.seed_choice == SeedChoice::Image || !is_same(&older, &source) {
        return Ok(source);
    }
    let mut source = source;
    let (ImageSource::Recipe { seed, .. }
    | ImageSource::Container { seed, .. }
    | ImageSource::Rootfs { seed, .. }
    | ImageSource::Saved { seed, .. }
    | ImageSource::Reseed { seed, .. }) = &mut source;
    if *seed == SeedWish::default() {
        let what = match older.seed_choice {
            SeedChoice::Nothing => "none, as you have chosen",
            _ => "the one that you have given it",
        };
        op.stage("keep_work_seed", what);
        seed.kept_of = Some(folder);
    }
    Ok(source)
}

/// Whether the image was made of `source`, as it was then. A VM's work disk is what a saved VM's seed is made of.
fn is_same(older: &ImageMetadata, source: &ImageSource) -> bool {
    let origin = &older.source;
    match source {
        ImageSource::Recipe { recipe, .. } => origin.kind == "recipe" && origin.name == *recipe,
        ImageSource::Container { reference, .. } => {
            origin.kind == "container" && origin.name == *reference
        }
        ImageSource::Rootfs { rootfs, .. } => {
            ["tar", "directory", "disk"].contains(&origin.kind.as_str())
                && origin.name == rootfs.display().to_string()
        }
        ImageSource::Saved { .. } | ImageSource::Reseed { .. } => false,
    }
}
