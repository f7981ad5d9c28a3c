//! Making an image's files of a VM that does not run.
//!
//! ```text
//! save  Back  work directory, clones of the disks, a guest over them sends its root, clones gone, image's files, work
//!             directory gone                                                        (owner: the operation)
//! ```
//! The VM's own disks are only read, and only to be cloned: what its guest left half-written is put right in the
//! clones, by a guest's kernel.

use std::path::PathBuf;

use banger_api::{OperationId, VmName};
use banger_engine::VmmSpec;
use banger_store::Owner;

use crate::steps::{
    CloneDisk, DirectoryStage, MakeDirectory, MakeImage, MakeInitramfs, ReadRoot, RemoveDirectory,
};
use crate::{Direction, GuestSetup, ImageSource, OwnDir, Plan, PlanKind, SeedWish, Step, VmFiles};

/// Inputs of saving a VM.
#[derive(Debug, Clone)]
pub struct SaveVm {
    /// The VM's name.
    pub vm: VmName,
    /// Its files.
    pub files: VmFiles,
    /// Directory for what lies on the way.
    pub work: OwnDir,
    /// Directory in which the image's files are made.
    pub staging: OwnDir,
    /// The guest that reads: its `dir` is `work`, its disks are [`SaveVm::system`] and [`SaveVm::disk`].
    pub spec: VmmSpec,
    /// Configuration of that guest; bare.
    pub setup: GuestSetup,
    /// The kernel's directory, when its initramfs is not there yet.
    pub initramfs_of: Option<PathBuf>,
    /// Time for the guest to become reachable, in ms.
    pub boot_deadline_ms: u64,
    /// The directory of the VM's image.
    pub image: PathBuf,
    /// The work seed of the new image.
    pub seed: SeedWish,
}

/// The clone of a system overlay in a work directory.
pub fn system_clone(work: &std::path::Path) -> PathBuf {
    work.join("system.img")
}

/// The clone of a work disk in a work directory.
pub fn work_clone(work: &std::path::Path) -> PathBuf {
    work.join("work.img")
}

/// Makes an image's files of a VM.
pub fn save_vm(op: OperationId, save: SaveVm) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, PlanKind::SaveVm, None, owner, Direction::Back);
    let directory = |path: &OwnDir| -> Step {
        MakeDirectory {
            path: path.clone(),
            stage: DirectoryStage::Reserve,
        }
        .into()
    };
    plan.steps = vec![directory(&save.work), directory(&save.staging)];
    if let Some(kernel_dir) = save.initramfs_of {
        let path = save.spec.initramfs.clone();
        plan.steps.push(MakeInitramfs { kernel_dir, path }.into());
    }
    let clones = [
        (save.files.system_overlay(), system_clone(&save.work)),
        (save.files.work_disk(), work_clone(&save.work)),
    ];
    plan.steps
        .extend(clones.map(|(from, to)| CloneDisk { from, to }.into()));
    let archive = save.work.join("root.tar");
    plan.steps.extend([
        ReadRoot {
            spec: save.spec,
            setup: Box::new(save.setup),
            to: archive.clone(),
            deadline_ms: save.boot_deadline_ms,
        }
        .into(),
        MakeImage {
            source: ImageSource::Saved {
                archive,
                image: save.image,
                vm: save.vm,
                seed: save.seed,
            },
            into: save.staging.to_path_buf(),
        }
        .into(),
        RemoveDirectory { path: save.work }.into(),
    ]);
    plan
}
