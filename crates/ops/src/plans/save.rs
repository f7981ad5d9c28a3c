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
use banger_store::Owner;

use crate::steps::{
    CloneDisk, DirectoryStage, MakeDirectory, MakeImage, MakeInitramfs, ReadRoot, Reader,
    RemoveDirectory,
};
use crate::{Direction, ImageSource, OwnDir, Plan, PlanKind, SeedWish, Step, VmFiles};

/// A reading of the disks of a VM that does not run.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The VM's files.
    pub files: VmFiles,
    /// Directory for what lies on the way.
    pub work: OwnDir,
    /// The guest that reads: its `dir` is `work`, its disks are [`system_clone`] and [`work_clone`].
    pub reader: Reader,
    /// The directory of the kernel that it boots, when its initramfs is not there yet.
    pub initramfs_of: Option<PathBuf>,
}

/// Inputs of saving a VM.
#[derive(Debug, Clone)]
pub struct SaveVm {
    /// The VM's name.
    pub vm: VmName,
    /// The way to its root.
    pub reading: Reading,
    /// Directory in which the image's files are made.
    pub staging: OwnDir,
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

/// Steps before a guest reads a VM's disks: the directories of what it sends and of what is made of it, and clones of the
/// disks.
pub(super) fn before_reading(reading: &Reading, staging: &OwnDir) -> Vec<Step> {
    let Reading { files, work, .. } = reading;
    let directory = |path: &OwnDir| -> Step {
        MakeDirectory {
            path: path.clone(),
            stage: DirectoryStage::Reserve,
        }
        .into()
    };
    let mut steps = vec![directory(work), directory(staging)];
    steps.extend(reading.initramfs_of.clone().map(|kernel_dir| {
        let path = reading.reader.spec.initramfs.clone();
        Step::from(MakeInitramfs { kernel_dir, path })
    }));
    let clones = [
        (files.system_overlay(), system_clone(work)),
        (files.work_disk(), work_clone(work)),
    ];
    steps.extend(clones.map(|(from, to)| CloneDisk { from, to }.into()));
    steps
}

/// Makes an image's files of a VM.
pub fn save_vm(op: OperationId, save: SaveVm) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, PlanKind::SaveVm, None, owner, Direction::Back);
    plan.steps = before_reading(&save.reading, &save.staging);
    let archive = save.reading.work.join("root.tar");
    plan.steps.extend([
        ReadRoot {
            reader: save.reading.reader,
            to: archive.clone(),
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
        RemoveDirectory {
            path: save.reading.work,
        }
        .into(),
    ]);
    plan
}
