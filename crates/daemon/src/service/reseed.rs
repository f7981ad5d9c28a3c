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
use banger_store::ImageRecord;

use super::find_image;
use super::images::seed_wish;
use super::replacing::reseeded;
use crate::context::Daemon;
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
        let replaced = replace(&task, op, &record, &staging);
        // Whether or not the files have left it.
        task.runner.discard(op.id, staging, &**op);
        replaced
    })?;
    Ok(running.accepted(None))
}

fn replace(
    daemon: &Daemon,
    op: &Arc<Running>,
    record: &ImageRecord,
    staging: &Path,
) -> Result<(), ApiError> {
    let facts = daemon.runner.host().image_facts(staging)?;
    let new = ImageRecord {
        digest: facts.digest,
        seed_bytes: facts.seed_bytes,
        ..record.clone()
    };
    reseeded(daemon, op, record, new, staging)
}
