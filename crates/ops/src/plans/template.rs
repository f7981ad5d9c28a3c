//! Templates.
//!
//! ```text
//! make    Back     work directory, files' directory, disks for one guest, saved guest, a trial of it, sync, work directory gone,
//!                  files ──rename──► final directory, whose claim goes over to the kernel      (owner: the operation)
//! delete  Forward  directory gone                                                              (owner: the kernel)
//! ```

use std::path::PathBuf;

use banger_api::{ContentDigest, OperationId, VmName};
use banger_engine::VmmSpec;
use banger_store::Owner;
use uuid::Uuid;

use crate::steps::{
    DirectoryStage, MakeDirectory, MakeInitramfs, MakeSshHostKey, MakeSystemOverlay, MakeWorkDisk,
    PublishDirectory, RemoveDirectory, SaveTemplate, SyncFiles, TryTemplate, WorkDiskSource,
};
use crate::{
    BlankDiskSpec, Change, Direction, GuestSetup, OwnDir, Plan, PlanKind, Step, TemplateFacts,
    TemplateFiles,
};

/// Bytes of the disks of a guest that is only tried. They are sparse.
const DISK_BYTES: u64 = 256 << 20;

/// Inputs of making a template.
#[derive(Debug, Clone)]
pub struct MakeTemplate {
    /// Directory for what lies on the way.
    pub work: OwnDir,
    /// The files, where they are made.
    pub made: TemplateFiles,
    /// Directory to which they belong.
    pub target: OwnDir,
    /// The VMM of the guest that is saved: its `dir` is `work`, its disks are [`MakeTemplate::system`] and [`MakeTemplate::disk`],
    /// its memory is that of `made`.
    pub spec: VmmSpec,
    /// The same for the guest that wakes for a trial.
    pub trial: VmmSpec,
    /// Configuration of the trial; bare.
    pub setup: GuestSetup,
    /// The kernel's directory, when its initramfs is not there yet.
    pub initramfs_of: Option<PathBuf>,
    /// Its facts, which are written beside it.
    pub facts: TemplateFacts,
    /// Time for the guest to become reachable, in ms.
    pub boot_deadline_ms: u64,
    /// Time for a guest that wakes, in ms.
    pub wake_deadline_ms: u64,
}

impl MakeTemplate {
    /// The system overlay in a work directory.
    pub fn system(work: &OwnDir) -> PathBuf {
        work.join("system.img")
    }

    /// The work disk in a work directory.
    pub fn disk(work: &OwnDir) -> PathBuf {
        work.join("work.img")
    }

    /// The copy of the memory for the trial, in a work directory.
    pub fn copy(work: &OwnDir) -> PathBuf {
        work.join("memory.img")
    }
}

/// Makes a template.
pub fn make_template(op: OperationId, name: &VmName, make: MakeTemplate) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(
        op,
        PlanKind::MakeTemplate,
        None,
        owner.clone(),
        Direction::Back,
    );
    let kernel = Owner::Kernel(make.facts.kernel);
    plan.begin = vec![Change::Named(kernel.clone())];
    plan.done = vec![
        // A kernel that has gone meanwhile would leave it without an owner.
        Change::Named(kernel.clone()),
        Change::Transfer {
            claim: make.target.claim(),
            from: owner,
            to: kernel,
        },
    ];
    let directory = |path: &OwnDir| -> Step {
        MakeDirectory {
            path: path.clone(),
            stage: DirectoryStage::Reserve,
        }
        .into()
    };
    plan.steps = vec![directory(&make.work), directory(&make.made.dir)];
    if let Some(kernel_dir) = make.initramfs_of {
        let path = make.spec.initramfs.clone();
        plan.steps.push(MakeInitramfs { kernel_dir, path }.into());
    }
    let blank = |label: &str| BlankDiskSpec {
        bytes: DISK_BYTES,
        label: label.to_owned(),
        uuid: Uuid::new_v4(),
    };
    let (work, made) = (make.work, make.made);
    plan.steps.extend([
        MakeSshHostKey {
            path: make.setup.ssh_host_key.clone(),
            vm: name.clone(),
        }
        .into(),
        MakeSystemOverlay {
            path: MakeTemplate::system(&work),
            disk: blank("banger-system"),
        }
        .into(),
        MakeWorkDisk {
            path: MakeTemplate::disk(&work),
            source: WorkDiskSource::Blank(blank("banger-work")),
            bytes: DISK_BYTES,
        }
        .into(),
        SaveTemplate {
            spec: make.spec,
            to: made.clone(),
            facts: make.facts,
            deadline_ms: make.boot_deadline_ms,
        }
        .into(),
        TryTemplate {
            spec: make.trial,
            from: made.clone(),
            setup: Box::new(make.setup),
            deadline_ms: make.wake_deadline_ms,
        }
        .into(),
        SyncFiles {
            dir: made.dir.to_path_buf(),
            files: made.all(),
        }
        .into(),
        RemoveDirectory { path: work }.into(),
        PublishDirectory {
            from: made.dir,
            to: make.target,
        }
        .into(),
    ]);
    plan
}

/// Removes a template of a kernel. VMs that woke from it have their own copies.
pub fn delete_template(op: OperationId, kernel: ContentDigest, dir: OwnDir) -> Plan {
    let owner = Owner::Kernel(kernel);
    let kind = PlanKind::DeleteTemplate;
    let mut plan = Plan::new(op, kind, None, owner, Direction::Forward);
    plan.steps = vec![RemoveDirectory { path: dir }.into()];
    plan
}
