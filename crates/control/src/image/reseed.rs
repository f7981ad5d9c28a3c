//! Giving an image another work seed.
//!
//! ```text
//! make (base linked, new seed) ─► locks of the VMs made from it ─► replace ─► discard the old files
//! ```
//! Work disks that exist stay as they are; VMs find their base in the new directory, and it is the same file.

use std::sync::Arc;

use banger_api::ApiError;
use banger_api::image::ReseedImage;
use banger_api::operation::OperationKind;
use banger_api::vm::Accepted;
use banger_ops::{ImageSource, OwnDir, plans};
use banger_store::ImageRecord;

use super::make::seed_wish;
use super::making;
use super::replace::reseeded;
use crate::operations::{Asked, Running};
use crate::{Control, find_image};

/// Gives an image another work seed.
///
/// # Errors
/// `not_found`; `invalid_argument` for an impossible seed.
pub fn reseed(control: &Control, name: &str, request: ReseedImage) -> Result<Accepted, ApiError> {
    let record = find_image(control, name)?;
    let seed = seed_wish(control, request.work_seed, request.seed_size)?;
    let task = control.clone();
    let asked = Asked::files(OperationKind::ReseedImage, vec![making(&record.name)]);
    let running = control.operations().spawn(asked, move |op, _locked| {
        let record = find_image(&task, record.name.as_str())?;
        let image = task.places().image(&record.digest).to_path_buf();
        let staging = task.places().making(op.id, "image");
        let source = ImageSource::Reseed { image, seed };
        task.run(plans::make_image(op.id, source, staging.clone()), op)?;
        let replaced = replace(&task, op, &record, &staging);
        // In both cases: with the files in it, or after they have left it.
        task.runner().discard(op.id, staging, &**op);
        replaced
    })?;
    Ok(running.accepted(None))
}

fn replace(
    control: &Control,
    op: &Arc<Running>,
    record: &ImageRecord,
    staging: &OwnDir,
) -> Result<(), ApiError> {
    let facts = control.runner().host().image_facts(staging)?;
    let new = ImageRecord {
        digest: facts.digest,
        seed_bytes: facts.seed_bytes,
        ..record.clone()
    };
    reseeded(control, op, record, new, staging)
}
