//! Plans of images and kernels. Making them takes long and has a staging directory that the operation owns; publishing
//! is a rename and a row.
//!
//! ```text
//! make     Back     staging directory, files                      (owner: the operation)
//! publish  Back     staging ──rename──► final directory; row, and the directory's claim goes over to the image or kernel
//!          Forward  the same content has a name already: row at once, staging directory gone
//! delete   Forward  row gone at once, directory gone              (only the name goes while another name has the
//! digest) rename   Forward  row and VMs have the new name at once replace  Back     staging ──rename──► final
//! directory; the name stands for it. Its VMs either follow, and the old
//!                   directory's claim goes over to the operation, whose discard removes it (unless another name stands
//!                   for the old files); or they keep the old files, which have another name from then on
//! discard  Forward  staging directory gone                        (of what was made and cannot be published)
//! ```
//!
//! The caller decides by whether the content has a name already, and the plan's first transaction checks it: when it
//! was decided too early, the plan does not begin (`in_use`), has no effect, and may be made again. So no lock is
//! needed.

use banger_api::kernel::KernelSource;
use banger_api::{ContentDigest, ImageName, InvalidName, OperationId};
use banger_store::{Connection, ImageRecord, KernelRecord, Owner, StoreError, image, kernel, vm};

use crate::steps::{
    DirectoryStage, MakeDirectory, MakeImage, MakeKernel, PublishDirectory, RemoveDirectory,
};
use crate::{Change, Direction, ImageSource, OwnDir, Plan, PlanKind, Step};

/// Digits of a digest in the name of files that kept none of their own.
const KEPT_DIGITS: usize = 12;

fn make(op: OperationId, kind: PlanKind, staging: OwnDir, step: Step) -> Plan {
    let mut plan = Plan::new(op, kind, None, Owner::Operation(op), Direction::Back);
    plan.steps = vec![
        MakeDirectory {
            path: staging,
            stage: DirectoryStage::Reserve,
        }
        .into(),
        step,
    ];
    plan
}

/// Makes an image's files in `staging`.
pub fn make_image(op: OperationId, source: ImageSource, staging: OwnDir) -> Plan {
    let step = MakeImage {
        source,
        into: staging.to_path_buf(),
    }
    .into();
    make(op, PlanKind::MakeImage, staging, step)
}

/// Makes a kernel's files in `staging`.
pub fn make_kernel(
    op: OperationId,
    source: KernelSource,
    all_modules: bool,
    staging: OwnDir,
) -> Plan {
    let step = MakeKernel {
        source,
        all_modules,
        into: staging.to_path_buf(),
    }
    .into();
    make(op, PlanKind::MakeKernel, staging, step)
}

fn publish(
    op: OperationId,
    kind: PlanKind,
    files: Owner,
    places: (OwnDir, OwnDir),
    exists: bool,
    row: Change,
) -> Plan {
    let (staging, target) = places;
    let owner = Owner::Operation(op);
    if exists {
        // The same content is there under another name: its row is all that is needed, and what was made goes.
        let mut plan = Plan::new(op, kind, None, owner, Direction::Forward);
        plan.begin = vec![Change::Named(files), row];
        plan.steps = vec![RemoveDirectory { path: staging }.into()];
        return plan;
    }
    // The operation owns the target until the row is there: another operation that publishes the same content, or one that
    // still removes it, cannot own it, too.
    let mut plan = Plan::new(op, kind, None, owner.clone(), Direction::Back);
    plan.done = vec![
        Change::Transfer {
            claim: target.claim(),
            from: owner,
            to: files,
        },
        row,
    ];
    plan.steps = vec![
        PublishDirectory {
            from: staging,
            to: target,
        }
        .into(),
    ];
    plan
}

/// Removes what was made and will not be published.
pub fn discard(op: OperationId, staging: OwnDir) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, PlanKind::Discard, None, owner, Direction::Forward);
    plan.steps = vec![RemoveDirectory { path: staging }.into()];
    plan
}

/// Places of an image's files.
#[derive(Debug, Clone)]
pub struct PublishImage {
    /// Directory in which they were made.
    pub staging: OwnDir,
    /// Directory to which they belong.
    pub target: OwnDir,
    /// Another name has them already.
    pub exists: bool,
}

/// Gives made files the place and name of an image.
pub fn publish_image(op: OperationId, image: ImageRecord, to: PublishImage) -> Plan {
    let owner = Owner::Image(image.digest);
    let row = Change::InsertImage(Box::new(image));
    publish(
        op,
        PlanKind::PublishImage,
        owner,
        (to.staging, to.target),
        to.exists,
        row,
    )
}

/// Places of a kernel's files.
pub type PublishKernel = PublishImage;

/// Gives made files the place and name of a kernel.
pub fn publish_kernel(op: OperationId, kernel: KernelRecord, to: PublishKernel) -> Plan {
    let owner = Owner::Kernel(kernel.digest);
    let row = Change::InsertKernel(Box::new(kernel));
    publish(
        op,
        PlanKind::PublishKernel,
        owner,
        (to.staging, to.target),
        to.exists,
        row,
    )
}

/// Things that go with a name.
#[derive(Debug, Clone)]
pub struct DeleteFiles {
    /// The directory, when no other name has its content.
    pub directory: Option<OwnDir>,
}

fn delete(
    op: OperationId,
    kind: PlanKind,
    (name, of): (&str, Owner),
    row: Change,
    files: DeleteFiles,
) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, kind, None, owner.clone(), Direction::Forward);
    // Since it was looked up, the name may have been given to other files.
    let stands = Change::Stands {
        name: name.to_owned(),
        files: of.clone(),
    };
    plan.begin = vec![stands, row];
    match files.directory {
        Some(path) => {
            let claim = path.claim();
            plan.begin.push(Change::Unused(of.clone()));
            plan.begin.push(Change::Transfer {
                claim,
                from: of,
                to: owner,
            });
            plan.steps = vec![RemoveDirectory { path }.into()];
        }
        None => plan.begin.push(Change::Named(of)),
    }
    plan
}

/// Removes an image's name, and its files when nothing else names them.
pub fn delete_image(op: OperationId, image: &ImageRecord, files: DeleteFiles) -> Plan {
    let owner = Owner::Image(image.digest);
    delete(
        op,
        PlanKind::DeleteImage,
        (image.name.as_str(), owner),
        Change::DeleteImage(image.name.clone()),
        files,
    )
}

/// Gives an image, and the VMs that know it by its name, another name.
pub fn rename_image(op: OperationId, from: ImageName, to: ImageName) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, PlanKind::RenameImage, None, owner, Direction::Forward);
    plan.begin = vec![Change::RenameImage { from, to }];
    plan
}

/// Places of the files for which an image's name shall stand.
#[derive(Debug, Clone)]
pub struct ReplaceImage {
    /// Digest of the files for which it stands.
    pub from: ContentDigest,
    /// Directory in which the new files were made.
    pub staging: OwnDir,
    /// Directory to which they belong; `None` when they are there already, under another name.
    pub target: Option<OwnDir>,
    /// Fate of the VMs that know the old files by this name.
    pub users: Users,
}

/// Fate of the VMs of an image whose name shall stand for other files.
#[derive(Debug, Clone)]
pub enum Users {
    /// They stand for the new files, whose base is the old one's. Only while none of them is being started: they find
    /// their base by its path.
    Follow {
        /// Directory of the old files, when no other name stands for them: it becomes the operation's, to be discarded.
        old: Option<OwnDir>,
    },
    /// They keep the old files.
    Stay {
        /// Name of the old files from then on, until [`superseded`] finds them without a VM.
        kept: ImageName,
    },
}

/// Name of files for which `name` stood: it tells them from all others that the name ever stood for.
///
/// # Errors
/// None in practice: what is made of a name and hexadecimal digits is a name.
pub fn kept_name(name: &ImageName, digest: &ContentDigest) -> Result<ImageName, InvalidName> {
    let short: String = digest.to_string().chars().take(KEPT_DIGITS).collect();
    let room = ImageName::MAX_LEN - KEPT_DIGITS - 1;
    let name: String = name.as_str().chars().take(room).collect();
    format!("{name}-{short}").parse()
}

/// Kernels that were taken from the roots of VMs, and that no VM boots any more.
///
/// # Errors
/// Only the store's.
pub fn unused_of_roots(db: &Connection) -> Result<Vec<KernelRecord>, StoreError> {
    let mut kernels = kernel::list(db)?;
    kernels.retain(|kernel| kernel.of_root);
    if !kernels.is_empty() {
        let vms = vm::list(db)?;
        kernels.retain(|kernel| !vms.iter().any(|vm| vm.kernel_digest == kernel.digest));
    }
    Ok(kernels)
}

/// Images that are there for VMs alone, and have none any more.
///
/// # Errors
/// Only the store's.
pub fn superseded(db: &Connection) -> Result<Vec<ImageRecord>, StoreError> {
    let mut images = image::list(db)?;
    images.retain(|image| image.superseded);
    if !images.is_empty() {
        let vms = vm::list(db)?;
        images.retain(|image| !vms.iter().any(|vm| vm.image == image.name));
    }
    Ok(images)
}

/// Lets the name of `image` stand for new files.
pub fn replace_image(op: OperationId, image: ImageRecord, files: ReplaceImage) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(
        op,
        PlanKind::ReplaceImage,
        None,
        owner.clone(),
        Direction::Back,
    );
    let new = Owner::Image(image.digest);
    match files.target {
        Some(to) => {
            plan.done.push(Change::Transfer {
                claim: to.claim(),
                from: owner.clone(),
                to: new,
            });
            let from = files.staging;
            plan.steps = vec![PublishDirectory { from, to }.into()];
        }
        None => plan.done.push(Change::Named(new)),
    }
    let (from, to) = (files.from, Box::new(image));
    match files.users {
        Users::Stay { kept } => plan.done.push(Change::SupersedeImage { from, to, kept }),
        Users::Follow {
            old: directory_of_old,
        } => {
            let old = Owner::Image(from);
            plan.done.push(Change::ReplaceImage { from, to });
            match directory_of_old {
                Some(path) => {
                    plan.done.push(Change::Unused(old.clone()));
                    plan.done.push(Change::Transfer {
                        claim: path.claim(),
                        from: old,
                        to: owner,
                    });
                }
                None => plan.done.push(Change::Named(old)),
            }
        }
    }
    plan
}

/// Removes a kernel's name, and its files when nothing else names them.
pub fn delete_kernel(op: OperationId, kernel: &KernelRecord, files: DeleteFiles) -> Plan {
    let owner = Owner::Kernel(kernel.digest);
    delete(
        op,
        PlanKind::DeleteKernel,
        (kernel.name.as_str(), owner),
        Change::DeleteKernel(kernel.name.clone()),
        files,
    )
}
