//! The work seed of an image that is made anew from the same source: a seed that its user has chosen is kept, one of the
//! image's own `/root` is made anew with it.

use banger_api::{ApiError, ImageName};
use banger_ops::{Events as _, ImageSource, SeedWish};
use banger_store::image;

use crate::Control;
use crate::operations::Running;

/// Lets `source` keep the seed that the image `name` has by its user's choice, when it is to be made of the same source and
/// nothing else was asked for.
///
/// # Errors
/// Only the store's.
pub(super) fn keep(
    control: &Control,
    op: &Running,
    name: &ImageName,
    mut source: ImageSource,
) -> Result<ImageSource, ApiError> {
    let Some(record) = control.read(|db| image::by_name(db, name.as_str()))? else {
        return Ok(source);
    };
    let folder = control.places().image(&record.digest);
    let chosen = match control.environment().chosen_seed(&folder, &source) {
        Ok(chosen) => chosen,
        Err(error) => {
            // The user may be remaking the image to mend just that.
            op.warn(&format!(
                "cannot tell whether \"{name}\" has a custom work seed: {}",
                error.message
            ));
            return Ok(source);
        }
    };
    let Some(chosen) = chosen else {
        return Ok(source);
    };
    let (ImageSource::Recipe { seed, .. }
    | ImageSource::Container { seed, .. }
    | ImageSource::Rootfs { seed, .. }
    | ImageSource::Saved { seed, .. }
    | ImageSource::Reseed { seed, .. }) = &mut source;
    if *seed == SeedWish::default() {
        op.stage("keep_work_seed", chosen);
        seed.kept_of = Some(folder.to_path_buf());
    }
    Ok(source)
}
