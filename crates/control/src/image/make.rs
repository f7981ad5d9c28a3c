//! Making images. Two requests for one name do the work once.

use std::path::Path;
use std::sync::Arc;

use banger_api::image::{BuildImage, RegisterImage, WorkSeed};
use banger_api::operation::OperationKind;
use banger_api::vm::Accepted;
use banger_api::{ApiError, ByteSize, ErrorCode, ImageName, suggest};
use banger_ops::plans;
use banger_ops::{ImageSource, OwnDir, SeedWish};
use banger_store::{ImageRecord, image};

use super::{Naming, kept_seed, replace};
use crate::artifact::{self, Artifact, existing};
use crate::locks::Key;
use crate::operations::{Asked, Locked, Running};
use crate::{Control, find_image};

/// The lock of making an image of this name.
pub(crate) fn making(name: &ImageName) -> Key {
    ImageRecord::making(name.as_str())
}

/// The image of this name; `None` when it is not there and a recipe can build it.
///
/// # Errors
/// `not_found` when neither an image nor a recipe has the name.
pub(crate) fn known(control: &Control, name: &ImageName) -> Result<Option<ImageRecord>, ApiError> {
    let is_recipe = || control.environment().recipes().contains(&name.as_str());
    match find_image(control, name.as_str()) {
        Ok(record) => artifact::usable(control, record).map(Some),
        Err(error) if error.code == ErrorCode::NotFound && is_recipe() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The image of this name, built from its recipe when it is not there. Blocks, as long as that takes.
///
/// # Errors
/// `not_found` when no recipe has the name; those of building it.
pub(crate) fn ensure(
    control: &Control,
    op: &Arc<Running>,
    name: &ImageName,
    locked: &Locked,
) -> Result<ImageRecord, ApiError> {
    artifact::ensure(control, op, name.as_str(), locked, || {
        known(control, name)?;
        let source = ImageSource::Recipe {
            recipe: name.to_string(),
            seed: SeedWish::default(),
        };
        make(control, op, name.clone(), source, Naming::Free)
    })
}

/// Builds an image from a recipe.
///
/// # Errors
/// `not_found` for an unknown recipe; `name_taken`.
pub fn build(control: &Control, request: BuildImage) -> Result<Accepted, ApiError> {
    let (recipe, recipes) = (request.recipe, control.environment().recipes());
    if !recipes.contains(&recipe.as_str()) {
        let message = format!("no recipe is called \"{recipe}\"");
        let hint = suggest::hint(&recipe, &recipes, "");
        return Err(ApiError::new(ErrorCode::NotFound, message).hint(hint));
    }
    let name = match request.name {
        Some(name) => name,
        None => recipe
            .parse()
            .map_err(|error| ApiError::new(ErrorCode::Internal, format!("{error}")))?,
    };
    let seed = seed_wish(control, request.work_seed, request.seed_size)?;
    let source = ImageSource::Recipe { recipe, seed };
    spawn(
        control,
        OperationKind::BuildImage,
        name,
        source,
        request.replace.into(),
    )
}

/// Makes an image from a root file system on this host.
///
/// # Errors
/// `invalid_argument` for a path that is not absolute or not there; `name_taken`.
pub fn register(control: &Control, request: RegisterImage) -> Result<Accepted, ApiError> {
    let source = ImageSource::Rootfs {
        rootfs: existing(control, "root file system", &request.rootfs)?,
        seed: seed_wish(control, request.work_seed, request.seed_size)?,
    };
    let naming = request.replace.into();
    spawn(
        control,
        OperationKind::RegisterImage,
        request.name,
        source,
        naming,
    )
}

/// The work seed that a request asks for, with its path checked.
///
/// # Errors
/// `invalid_argument` for a path that is not absolute or not there, or a size without a seed.
pub(crate) fn seed_wish(
    control: &Control,
    from: WorkSeed,
    size: Option<ByteSize>,
) -> Result<SeedWish, ApiError> {
    if let WorkSeed::Path(path) = &from {
        existing(control, "work seed", path)?;
    }
    if from == WorkSeed::None && size.is_some() {
        let message = "a size of the work seed, and no work seed";
        return Err(ApiError::new(ErrorCode::InvalidArgument, message));
    }
    let bytes = size.map(ByteSize::bytes);
    Ok(SeedWish {
        from,
        bytes,
        kept_of: None,
    })
}

fn spawn(
    control: &Control,
    kind: OperationKind,
    name: ImageName,
    source: ImageSource,
    naming: Naming,
) -> Result<Accepted, ApiError> {
    naming.check(control, &name)?;
    let task = control.clone();
    let asked = Asked::files(kind, vec![making(&name)]);
    let running = control.operations().spawn(asked, move |op, _locked| {
        naming.check(&task, &name)?;
        make(&task, op, name, source, naming).map(|_record| ())
    })?;
    Ok(running.accepted(None))
}

/// Makes an image under its name's lock, in two plans. The first makes the files; the second moves them to their place
/// and names them, because their digest is known only then.
///
/// # Errors
/// Those of the host; `name_taken`.
pub(super) fn make(
    control: &Control,
    op: &Arc<Running>,
    name: ImageName,
    source: ImageSource,
    naming: Naming,
) -> Result<ImageRecord, ApiError> {
    let source = match naming {
        Naming::Free => source,
        Naming::Replaces => kept_seed::keep(control, op, &name, source)?,
    };
    let staging = control.places().making(op.id, "image");
    control.run(plans::make_image(op.id, source, staging.clone()), op)?;
    publish_made(control, op, name, staging, naming)
}

/// Moves the files that an operation has made in `staging` to their place and names them. Files that cannot be
/// published are removed.
///
/// # Errors
/// `name_taken`; those of the host.
pub(crate) fn publish_made(
    control: &Control,
    op: &Arc<Running>,
    name: ImageName,
    staging: OwnDir,
    naming: Naming,
) -> Result<ImageRecord, ApiError> {
    let record = made_record(control, name, &staging);
    let published = record.and_then(|new| {
        let old = match naming {
            Naming::Free => None,
            Naming::Replaces => control.read(|db| image::by_name(db, new.name.as_str()))?,
        };
        match old {
            None => artifact::publish(control, op, &new, &staging)?,
            Some(old) => {
                replace::supersede(control, op, &old, new.clone(), &staging)?;
                // In both cases: with the files in it, or after they have left it.
                control.runner().discard(op.id, staging.clone(), &**op);
            }
        }
        Ok(new)
    });
    if published.is_err() {
        control.runner().discard(op.id, staging, &**op);
    }
    published
}

/// Record of the files in `staging`, under their name.
fn made_record(
    control: &Control,
    name: ImageName,
    staging: &Path,
) -> Result<ImageRecord, ApiError> {
    let facts = control.runner().host().image_facts(staging)?;
    Ok(ImageRecord {
        name,
        digest: facts.digest,
        source: facts.source,
        init: facts.init,
        base_bytes: facts.base_bytes,
        seed_bytes: facts.seed_bytes,
        created_ms: control.now_ms(),
        superseded: false,
        damage: None,
    })
}
