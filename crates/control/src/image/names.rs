//! Names of images: taking, giving, removing them.

use banger_api::image::{Image, PrunedImages};
use banger_api::operation::OperationKind;
use banger_api::vm::Accepted;
use banger_api::{ApiError, ImageName};
use banger_ops::plans;
use banger_store::ImageRecord;

use super::view::{freed_with, images};
use crate::operations::Asked;
use crate::{Control, artifact, find_image};

/// Effect of a new image whose name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// It is refused.
    Free,
    /// It takes the name; the VMs of the old image keep that one.
    Replaces,
}

impl From<bool> for Naming {
    fn from(replace: bool) -> Self {
        match replace {
            true => Self::Replaces,
            false => Self::Free,
        }
    }
}

impl Naming {
    /// Checks that an image may get this name.
    ///
    /// # Errors
    /// `name_taken`.
    pub(crate) fn check(self, control: &Control, name: &ImageName) -> Result<(), ApiError> {
        match self {
            Self::Free => artifact::free::<ImageRecord>(control, name.as_str()),
            Self::Replaces => Ok(()),
        }
    }
}

/// Removes an image, unless VMs are made from it.
///
/// # Errors
/// `not_found`; `in_use` with the VMs.
pub fn delete(control: &Control, name: &str) -> Result<Accepted, ApiError> {
    artifact::delete(control, find_image(control, name)?)
}

/// Gives an image another name, also in the records of its VMs.
///
/// # Errors
/// `not_found`; `name_taken`.
pub fn rename(control: &Control, name: &str, to: ImageName) -> Result<Accepted, ApiError> {
    let from = find_image(control, name)?.name;
    if from != to {
        Naming::Free.check(control, &to)?;
    }
    let task = control.clone();
    let asked = Asked::files(OperationKind::RenameImage, Vec::new());
    let running = control.operations().spawn(asked, move |op, _locked| {
        if from == to {
            return Ok(());
        }
        task.run(plans::rename_image(op.id, from, to), op)
    })?;
    Ok(running.accepted(None))
}

/// Removes every image that no VM uses.
///
/// # Errors
/// Only the store's.
pub fn prune(control: &Control, dry_run: bool) -> Result<PrunedImages, ApiError> {
    let unused: Vec<Image> = images(control)?
        .into_iter()
        .filter(|image| image.used_by == 0)
        .collect();
    let mut pruned = PrunedImages {
        freed_bytes: freed_with(control, &unused)?,
        ..PrunedImages::default()
    };
    for image in unused {
        if !dry_run {
            let accepted = delete(control, image.name.as_str())?;
            pruned.operations.push(accepted.operation);
        }
        pruned.images.push(image);
    }
    Ok(pruned)
}
