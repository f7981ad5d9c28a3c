//! Images: building, registering, listing, deleting. Two requests for one name do the work once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_api::image::{BuildImage, Image, PrunedImages, RegisterImage, WorkSeed};
use banger_api::vm::Accepted;
use banger_api::{ApiError, ByteSize, ErrorCode, ImageName, suggest};
use banger_ops::plans::{self, DeleteFiles, PublishImage};
use banger_ops::{ImageSource, SeedWish};
use banger_store::{ImageRecord, image, vm};

use super::find_image;
use super::image_view::{freed_with, images};
use super::{kept_seed, replacing};
use crate::context::Daemon;
use crate::operations::{Running, now_ms};

/// Recipes that banger carries: a VM that names one gets it built when it is missing.
pub(super) fn recipes() -> Vec<&'static str> {
    banger_image::Recipe::names()
}

/// The image of this name; `None` when it is not there and a recipe can build it.
///
/// # Errors
/// `not_found` when neither an image nor a recipe has the name.
pub(super) fn known(daemon: &Daemon, name: &ImageName) -> Result<Option<ImageRecord>, ApiError> {
    match find_image(daemon, name.as_str()) {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.code == ErrorCode::NotFound && recipes().contains(&name.as_str()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The image of this name, built from its recipe when it is not there. Blocks, as long as that takes.
///
/// # Errors
/// Those of building it.
pub(super) fn ensure(
    daemon: &Daemon,
    op: &Arc<Running>,
    name: &ImageName,
) -> Result<ImageRecord, ApiError> {
    if let Some(record) = known(daemon, name)? {
        return Ok(record);
    }
    let _making = daemon.locks.name(&format!("image:{name}"), &op.cancel)?;
    if let Some(record) = known(daemon, name)? {
        return Ok(record);
    }
    make(
        daemon,
        op,
        name.clone(),
        ImageSource::Recipe {
            recipe: name.to_string(),
            seed: SeedWish::default(),
        },
        Naming::Free,
    )
}

/// Builds an image from a recipe.
///
/// # Errors
/// `invalid_argument` for an unknown recipe; `name_taken`.
pub(crate) fn build_image(daemon: &Daemon, request: BuildImage) -> Result<Accepted, ApiError> {
    let recipe = request.recipe;
    if !recipes().contains(&recipe.as_str()) {
        let message = format!("no recipe is called \"{recipe}\"");
        return Err(
            ApiError::new(ErrorCode::NotFound, message).hint(suggest::hint(
                &recipe,
                &recipes(),
                "",
            )),
        );
    }
    let name = match request.name {
        Some(name) => name,
        None => recipe
            .parse()
            .map_err(|error| ApiError::new(ErrorCode::Internal, format!("{error}")))?,
    };
    let seed = seed_wish(request.work_seed, request.seed_size)?;
    let source = ImageSource::Recipe { recipe, seed };
    spawn(daemon, "build_image", name, source, request.replace.into())
}

/// Makes an image from a root file system on this host.
///
/// # Errors
/// `invalid_argument` for a path that is not absolute or not there; `name_taken`.
pub(crate) fn register_image(
    daemon: &Daemon,
    request: RegisterImage,
) -> Result<Accepted, ApiError> {
    let source = ImageSource::Rootfs {
        rootfs: existing("root file system", &request.rootfs)?,
        seed: seed_wish(request.work_seed, request.seed_size)?,
    };
    let naming = request.replace.into();
    spawn(daemon, "register_image", request.name, source, naming)
}

/// A path that a user gave for this host.
pub(super) fn existing(what: &str, path: &str) -> Result<PathBuf, ApiError> {
    let invalid = |why: &str| {
        ApiError::new(
            ErrorCode::InvalidArgument,
            format!("{what} \"{path}\" {why}"),
        )
    };
    let path = Path::new(path);
    match path {
        path if !path.is_absolute() => Err(invalid("must be an absolute path")),
        path if !path.exists() => Err(invalid("does not exist, or this user cannot see it")),
        path => Ok(path.to_owned()),
    }
}

/// A work seed as it was asked for, its path looked at.
///
/// # Errors
/// `invalid_argument` for a path that is not absolute or not there, or a size without a seed.
pub(super) fn seed_wish(from: WorkSeed, size: Option<ByteSize>) -> Result<SeedWish, ApiError> {
    if let WorkSeed::Path(path) = &from {
        existing("work seed", path)?;
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
    daemon: &Daemon,
    kind: &str,
    name: ImageName,
    source: ImageSource,
    naming: Naming,
) -> Result<Accepted, ApiError> {
    naming.check(daemon, &name)?;
    let task = daemon.clone();
    let running = daemon.operations.spawn(kind, None, move |op| {
        let _making = task.locks.name(&format!("image:{name}"), &op.cancel)?;
        naming.check(&task, &name)?;
        make(&task, op, name, source, naming).map(|_record| ())
    })?;
    Ok(running.accepted(None))
}

/// What a new image does when its name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
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
    /// Whether an image may get this name.
    ///
    /// # Errors
    /// `name_taken`.
    pub(super) fn check(self, daemon: &Daemon, name: &ImageName) -> Result<(), ApiError> {
        match self {
            Self::Free => free(daemon, name),
            Self::Replaces => Ok(()),
        }
    }
}

fn free(daemon: &Daemon, name: &ImageName) -> Result<(), ApiError> {
    match daemon.read(|db| image::by_name(db, name.as_str()))? {
        None => Ok(()),
        Some(_) => Err(ApiError::new(
            ErrorCode::NameTaken,
            format!("image name \"{name}\" is taken"),
        )
        .hint(format!(
            "choose another name, replace the image (--replace), or delete it: banger image delete {name}"
        ))),
    }
}

/// Gives what an operation has made in `staging` its place and name; what cannot be published goes.
pub(super) fn publish_made(
    daemon: &Daemon,
    op: &Arc<Running>,
    name: ImageName,
    staging: PathBuf,
    naming: Naming,
) -> Result<ImageRecord, ApiError> {
    let record = made_record(daemon, name, &staging);
    let published = record.and_then(|new| {
        let old = match naming {
            Naming::Free => None,
            Naming::Replaces => daemon.read(|db| image::by_name(db, new.name.as_str()))?,
        };
        match old {
            None => publish(daemon, op, &new, &staging)?,
            Some(old) => {
                replacing::supersede(daemon, op, &old, new.clone(), &staging)?;
                // Whether or not the files have left it.
                daemon.runner.discard(op.id, staging.clone(), &**op);
            }
        }
        Ok(new)
    });
    if published.is_err() {
        daemon.runner.discard(op.id, staging, &**op);
    }
    published
}

/// Two plans: making the files, then giving them place and name, whose target is known only now.
pub(super) fn make(
    daemon: &Daemon,
    op: &Arc<Running>,
    name: ImageName,
    source: ImageSource,
    naming: Naming,
) -> Result<ImageRecord, ApiError> {
    let source = match naming {
        Naming::Free => source,
        Naming::Replaces => kept_seed::keep(daemon, op, &name, source)?,
    };
    let staging = daemon.paths.staging().join(op.id.to_string() + "-image");
    let plan = plans::make_image(op.id, source, staging.clone());
    daemon.runner.run(&plan, &**op, &op.cancel)?;
    publish_made(daemon, op, name, staging, naming)
}

/// What was made in `staging`, under its name.
fn made_record(daemon: &Daemon, name: ImageName, staging: &Path) -> Result<ImageRecord, ApiError> {
    let facts = daemon.runner.host().image_facts(staging)?;
    Ok(ImageRecord {
        name,
        digest: facts.digest,
        source: facts.source,
        init: facts.init,
        base_bytes: facts.base_bytes,
        seed_bytes: facts.seed_bytes,
        created_ms: now_ms(),
        superseded: false,
    })
}

/// Gives what was made its place and name. Another operation may be taking or giving up the same content meanwhile.
fn publish(
    daemon: &Daemon,
    op: &Arc<Running>,
    record: &ImageRecord,
    staging: &Path,
) -> Result<(), ApiError> {
    // Two names of one content meet here: one of them publishes, the other finds it published.
    let _publishing = replacing::hold_files(daemon, op, &[&record.digest])?;
    let target = daemon.paths.images().join(&record.digest);
    let exists = daemon.read(|db| image::is_named(db, &record.digest))?;
    let plan = plans::publish_image(
        op.id,
        record.clone(),
        PublishImage {
            staging: staging.to_owned(),
            target,
            exists,
        },
    );
    daemon.runner.run(&plan, &**op, &op.cancel)
}

/// Removes an image, unless VMs are made from it.
///
/// # Errors
/// `not_found`; `in_use` with the VMs.
pub(crate) fn delete_image(daemon: &Daemon, name: &str) -> Result<Accepted, ApiError> {
    let record = find_image(daemon, name)?;
    unused(daemon, &record)?;
    let task = daemon.clone();
    let running = daemon.operations.spawn("delete_image", None, move |op| {
        let _files = replacing::hold_files(&task, op, &[&record.digest])?;
        unused(&task, &record)?;
        remove(&task, op, &record)
    })?;
    Ok(running.accepted(None))
}

/// Removes an image's name, and its files with the last one. Their lock is held.
pub(super) fn remove(
    daemon: &Daemon,
    op: &Arc<Running>,
    record: &ImageRecord,
) -> Result<(), ApiError> {
    let directory = own_directory(daemon, record)?;
    let plan = plans::delete_image(op.id, record, DeleteFiles { directory });
    daemon.runner.run(&plan, &**op, &op.cancel)
}

/// The directory of an image's files, when no other name stands for them.
pub(super) fn own_directory(
    daemon: &Daemon,
    record: &ImageRecord,
) -> Result<Option<PathBuf>, ApiError> {
    let same = |other: &ImageRecord| other.digest == record.digest && other.name != record.name;
    let shared = daemon.read(image::list)?.iter().any(same);
    Ok((!shared).then(|| daemon.paths.images().join(&record.digest)))
}

/// Gives an image another name; its VMs know it by that from now on.
///
/// # Errors
/// `not_found`; `name_taken`.
pub(crate) fn rename_image(
    daemon: &Daemon,
    name: &str,
    to: ImageName,
) -> Result<Accepted, ApiError> {
    let from = find_image(daemon, name)?.name;
    if from != to {
        free(daemon, &to)?;
    }
    let task = daemon.clone();
    let running = daemon.operations.spawn("rename_image", None, move |op| {
        if from == to {
            return Ok(());
        }
        let plan = plans::rename_image(op.id, from, to);
        task.runner.run(&plan, &**op, &op.cancel)
    })?;
    Ok(running.accepted(None))
}

/// Removes every image that no VM uses.
///
/// # Errors
/// Only the store's.
pub(crate) fn prune_images(daemon: &Daemon, dry_run: bool) -> Result<PrunedImages, ApiError> {
    let unused: Vec<Image> = images(daemon)?
        .into_iter()
        .filter(|image| image.used_by == 0)
        .collect();
    let mut pruned = PrunedImages {
        freed_bytes: freed_with(daemon, &unused)?,
        ..PrunedImages::default()
    };
    for image in unused {
        if !dry_run {
            let accepted = delete_image(daemon, image.name.as_str())?;
            pruned.operations.push(accepted.operation);
        }
        pruned.images.push(image);
    }
    Ok(pruned)
}

fn unused(daemon: &Daemon, record: &ImageRecord) -> Result<(), ApiError> {
    let vms = daemon.read(vm::list)?;
    let users: Vec<&str> = vms
        .iter()
        .filter(|vm| vm.image_digest == record.digest)
        .map(|vm| vm.name.as_str())
        .collect();
    in_use("image", record.name.as_str(), &users)
}

/// Refuses to remove what VMs use.
pub(super) fn in_use(what: &str, name: &str, users: &[&str]) -> Result<(), ApiError> {
    if users.is_empty() {
        return Ok(());
    }
    let message = format!("{what} \"{name}\" is used by {}", users.join(", "));
    Err(ApiError::new(ErrorCode::InUse, message).hint("delete these VMs first: banger vm delete"))
}
