//! Letting an image's name stand for other files.
//!
//! ```text
//! reseed            the base is the same file     VMs follow: their locks ─► replace ─► discard the old files
//! pull, build, …    everything may be another     VMs stay: replace; the old files are named by their digest ─► forget
//! ```
//! A superseded image is kept for the VMs that use it and removed with the last of them: at once, or by upkeep if that
//! was interrupted.

use std::collections::BTreeSet;
use std::sync::Arc;

use banger_api::{ApiError, ContentDigest, ErrorCode, ImageName};
use banger_ops::OwnDir;
use banger_ops::plans::{self, Users};
use banger_store::{ImageRecord, image, vm};

use crate::Control;
use crate::artifact::{self, Artifact, own_directory};
use crate::locks::{Held, Key};
use crate::operations::Running;

/// Lets a name stand for new files; VMs that are made from the old ones keep them. Nothing in `staging` is needed
/// afterwards.
///
/// # Errors
/// `in_use` when the name stands for yet other files by now; those of publishing.
pub(super) fn supersede(
    control: &Control,
    op: &Arc<Running>,
    old: &ImageRecord,
    new: ImageRecord,
    staging: &OwnDir,
) -> Result<(), ApiError> {
    if new.digest == old.digest {
        op.up_to_date();
        return Ok(());
    }
    let kept = plans::kept_name(&old.name, &old.digest)
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
    {
        let _files = hold_files(control, op, &[&old.digest, &new.digest])?;
        replace(control, op, old, new, staging, Users::Stay { kept })?;
    }
    artifact::forget_unused::<ImageRecord>(control, op);
    Ok(())
}

/// Lets a name, and the VMs that know the image by it, stand for new files with the base of the old ones. Nothing in
/// `staging` is needed afterwards.
///
/// # Errors
/// As [`supersede`].
pub(super) fn reseeded(
    control: &Control,
    op: &Arc<Running>,
    old: &ImageRecord,
    new: ImageRecord,
    staging: &OwnDir,
) -> Result<(), ApiError> {
    if new.digest == old.digest {
        return Ok(());
    }
    // In the order of every operation (`locks.rs`): one that saves a VM over this image holds the VM and waits for the files.
    let _vms = hold_users(control, op, old)?;
    let _files = hold_files(control, op, &[&old.digest, &new.digest])?;
    let gone = own_directory(control, old)?;
    let users = Users::Follow { old: gone.clone() };
    replace(control, op, old, new, staging, users)?;
    if let Some(gone) = gone {
        control.runner().discard(op.id, gone, &**op);
    }
    Ok(())
}

fn replace(
    control: &Control,
    op: &Arc<Running>,
    old: &ImageRecord,
    new: ImageRecord,
    staging: &OwnDir,
    users: Users,
) -> Result<(), ApiError> {
    let exists = control.read(|db| image::is_named(db, &new.digest))?;
    let replace = plans::ReplaceImage {
        from: old.digest,
        staging: staging.clone(),
        target: (!exists).then(|| control.places().image(&new.digest)),
        users,
    };
    control.run(plans::replace_image(op.id, new, replace), op)
}

/// The locks of these files, always in one order.
pub(super) fn hold_files(
    control: &Control,
    op: &Arc<Running>,
    digests: &[&ContentDigest],
) -> Result<Vec<Held>, ApiError> {
    let digests: BTreeSet<&ContentDigest> = digests.iter().copied().collect();
    let hold = |digest| control.operations().hold(op, ImageRecord::files(digest));
    digests.into_iter().map(hold).collect()
}

/// The locks of the VMs that know the image by this name, so that none of them is being started meanwhile. Taken in the
/// order of their ids.
fn hold_users(
    control: &Control,
    op: &Arc<Running>,
    record: &ImageRecord,
) -> Result<Vec<Held>, ApiError> {
    let mut users: Vec<_> = control
        .read(vm::list)?
        .into_iter()
        .filter(|vm| vm.image == record.name)
        .map(|vm| vm.id)
        .collect();
    users.sort();
    let hold = |vm| {
        let held = control.operations().hold(op, Key::Vm(vm))?;
        control.settle(vm)?;
        Ok(held)
    };
    users.into_iter().map(hold).collect()
}

/// Removes the image of a VM that is gone, when the image was kept for its VMs alone and this VM was the last.
pub(crate) fn forget_with_vm(control: &Control, op: &Arc<Running>, image: &ImageName) {
    let known = control.read(|db| image::by_name(db, image.as_str()));
    if known.is_ok_and(|known| known.is_some_and(|known| known.superseded)) {
        artifact::forget_unused::<ImageRecord>(control, op);
    }
}
