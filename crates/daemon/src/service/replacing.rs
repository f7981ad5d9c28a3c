//! Letting an image's name stand for other files.
//!
//! ```text
//! reseed            the base is the same file     VMs follow: their locks ─► replace ─► discard the old files
//! pull, build, …    everything may be another     VMs stay: replace; the old files are named by their digest ─► forget
//! ```
//! What a name no longer stands for is there for its VMs alone, and forgotten with the last of them: at once, or by upkeep
//! when something came between.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use banger_api::{ApiError, ErrorCode, ImageName};
use banger_ops::plans::{self, Users};
use banger_store::{ImageRecord, image, vm};

use super::images::{own_directory, remove};
use crate::context::{Daemon, Held};
use crate::operations::Running;

/// Lets a name stand for new files; VMs that are made from the old ones keep them. What is in `staging` afterwards is not
/// needed.
///
/// # Errors
/// `in_use` when the name stands for yet other files by now; those of publishing.
pub(super) fn supersede(
    daemon: &Daemon,
    op: &Arc<Running>,
    old: &ImageRecord,
    new: ImageRecord,
    staging: &Path,
) -> Result<(), ApiError> {
    if new.digest == old.digest {
        op.up_to_date();
        return Ok(());
    }
    let kept = plans::kept_name(&old.name, &old.digest)
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
    {
        let _files = hold_files(daemon, op, &[&old.digest, &new.digest])?;
        replace(daemon, op, old, new, staging, Users::Stay { kept })?;
    }
    forget_superseded(daemon, op);
    Ok(())
}

/// Lets a name, and the VMs that know the image by it, stand for new files with the base of the old ones. What is in
/// `staging` afterwards is not needed.
///
/// # Errors
/// As [`supersede`].
pub(super) fn reseeded(
    daemon: &Daemon,
    op: &Arc<Running>,
    old: &ImageRecord,
    new: ImageRecord,
    staging: &Path,
) -> Result<(), ApiError> {
    if new.digest == old.digest {
        return Ok(());
    }
    let _files = hold_files(daemon, op, &[&old.digest, &new.digest])?;
    let _vms = hold_users(daemon, old)?;
    let gone = own_directory(daemon, old)?;
    let users = Users::Follow { old: gone.clone() };
    replace(daemon, op, old, new, staging, users)?;
    if let Some(gone) = gone {
        daemon.runner.discard(op.id, gone, &**op);
    }
    Ok(())
}

fn replace(
    daemon: &Daemon,
    op: &Arc<Running>,
    old: &ImageRecord,
    new: ImageRecord,
    staging: &Path,
    users: Users,
) -> Result<(), ApiError> {
    let exists = daemon.read(|db| image::is_named(db, &new.digest))?;
    let replace = plans::ReplaceImage {
        from: old.digest.clone(),
        staging: staging.to_owned(),
        target: (!exists).then(|| daemon.paths.images().join(&new.digest)),
        users,
    };
    let plan = plans::replace_image(op.id, new, replace);
    daemon.runner.run(&plan, &**op, &op.cancel)
}

/// The locks of these files, always in one order.
pub(super) fn hold_files(
    daemon: &Daemon,
    op: &Arc<Running>,
    digests: &[&str],
) -> Result<Vec<Held>, ApiError> {
    let digests: BTreeSet<&str> = digests.iter().copied().collect();
    let hold = |digest| {
        let name = format!("image-files:{digest}");
        daemon.locks.name(&name, &op.cancel)
    };
    digests.into_iter().map(hold).collect()
}

/// The locks of the VMs that know the image by this name, so that none of them is being started meanwhile. Taken in the
/// order of their ids.
fn hold_users(daemon: &Daemon, record: &ImageRecord) -> Result<Vec<Held>, ApiError> {
    let mut users: Vec<_> = daemon
        .read(vm::list)?
        .into_iter()
        .filter(|vm| vm.image == record.name)
        .map(|vm| vm.id)
        .collect();
    users.sort();
    users.into_iter().map(|vm| daemon.hold(vm)).collect()
}

/// A VM of this image is gone: so is the image, when it was there for its VMs alone and this was the last one.
pub(super) fn forget_with_vm(daemon: &Daemon, op: &Arc<Running>, image: &ImageName) {
    let known = daemon.read(|db| image::by_name(db, image.as_str()));
    if known.is_ok_and(|known| known.is_some_and(|known| known.superseded)) {
        forget_superseded(daemon, op);
    }
}

/// Removes images that were there for VMs alone, and have none any more. What fails is tried again by upkeep.
fn forget_superseded(daemon: &Daemon, op: &Arc<Running>) {
    if let Err(error) = try_forget(daemon, op) {
        tracing::warn!(%error, "an image that nobody needs any more cannot be removed yet");
    }
}

fn try_forget(daemon: &Daemon, op: &Arc<Running>) -> Result<(), ApiError> {
    for record in daemon.read(plans::superseded)? {
        let _files = hold_files(daemon, op, &[&record.digest])?;
        remove(daemon, op, &record)?;
    }
    Ok(())
}

/// The same as an operation of its own, when there is any.
///
/// # Errors
/// Only the store's.
pub(crate) fn forget_left_over(daemon: &Daemon) -> Result<(), ApiError> {
    if daemon.read(plans::superseded)?.is_empty() {
        return Ok(());
    }
    let task = daemon.clone();
    let forget = move |op: &Arc<Running>| try_forget(&task, op);
    let spawned = daemon.operations.spawn("delete_image", None, forget);
    spawned.map(|_running| ())
}
