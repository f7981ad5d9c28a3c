//! Giving an image another work seed.
//!
//! ```text
//! make (base linked, new seed) ─► locks of the VMs made from it ─► replace ─► discard the old files
//! ```
//! Work disks that exist stay as they are; VMs find their base in the new directory, and it is the same file.

use std::path::Path;
use std::sync::Arc;

use banger_api::ApiError;
use banger_api::image::ReseedImage;
use banger_api::vm::Accepted;
use banger_ops::ImageSource;
use banger_ops::plans;
use banger_store::{ImageRecord, image, vm};

use super::find_image;
use super::images::seed_wish;
use crate::context::{Daemon, Held};
use crate::operations::Running;

/// Gives an image another work seed.
///
/// # Errors
/// `not_found`; `invalid_argument` for a seed that cannot be.
pub(crate) fn reseed_image(
    daemon: &Daemon,
    name: &str,
    request: ReseedImage,
) -> Result<Accepted, ApiError> {
    let record = find_image(daemon, name)?;
    let seed = seed_wish(request.work_seed, request.seed_size)?;
    let task = daemon.clone();
    let running = daemon.operations.spawn("reseed_image", None, move |op| {
        let _making = task
            .locks
            .name(&format!("image:{}", record.name), &op.cancel)?;
        let record = find_image(&task, record.name.as_str())?;
        let image = task.paths.images().join(&record.digest);
        let staging = task.paths.staging().join(op.id.to_string() + "-image");
        let source = ImageSource::Reseed { image, seed };
        let plan = plans::make_image(op.id, source, staging.clone());
        task.runner.run(&plan, &**op, &op.cancel)?;
        let replaced = replace(&task, op, record, &staging);
        // Whether or not the files have left it.
        discard(&task, op, &staging);
        replaced
    })?;
    Ok(Accepted {
        operation: running.id,
        vm: None,
    })
}

fn replace(
    daemon: &Daemon,
    op: &Arc<Running>,
    record: ImageRecord,
    staging: &Path,
) -> Result<(), ApiError> {
    let facts = daemon.runner.host().image_facts(staging)?;
    if facts.digest == record.digest {
        return Ok(());
    }
    let files = |digest: &str| {
        daemon
            .locks
            .name(&format!("image-files:{digest}"), &op.cancel)
    };
    // Both in one order, whoever asks for them.
    let mut digests = [record.digest.clone(), facts.digest.clone()];
    digests.sort();
    let _files: Vec<Held> = digests
        .iter()
        .map(|digest| files(digest))
        .collect::<Result<_, _>>()?;
    let _vms = hold_users(daemon, &record)?;
    let images = daemon.read(image::list)?;
    let exists = images.iter().any(|other| other.digest == facts.digest);
    let shared = images
        .iter()
        .any(|other| other.digest == record.digest && other.name != record.name);
    let directory = |digest: &str| daemon.paths.images().join(digest);
    let old = (!shared).then(|| directory(&record.digest));
    let replace = plans::ReplaceImage {
        from: record.digest.clone(),
        staging: staging.to_owned(),
        target: (!exists).then(|| directory(&facts.digest)),
        old: old.clone(),
    };
    let new = ImageRecord {
        digest: facts.digest,
        seed_bytes: facts.seed_bytes,
        ..record
    };
    let plan = plans::replace_image(op.id, new, replace);
    daemon.runner.run(&plan, &**op, &op.cancel)?;
    if let Some(old) = old {
        discard(daemon, op, &old);
    }
    Ok(())
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

fn discard(daemon: &Daemon, op: &Arc<Running>, path: &Path) {
    daemon.runner.discard(op.id, path.to_owned(), &**op);
}
