//! Making a kernel's files of the one that is installed in the root of a VM that does not run.
//!
//! ```text
//! take  Back  work directory, clones of the disks, a guest over them sends its kernel, kernel's files, work directory gone
//!                                                                                     (owner: the operation)
//! ```
//! The host never reads the disks: the guest sends files, which are checked like those of any other kernel.

use std::path::PathBuf;

use banger_api::OperationId;
use banger_api::kernel::KernelSource;
use banger_engine::VmmSpec;
use banger_store::Owner;

use super::save::before_reading;
use crate::steps::{MakeKernel, ReadKernel, RemoveDirectory};
use crate::{Direction, GuestSetup, OwnDir, Plan, PlanKind, VmFiles};

/// Inputs of taking the kernel of a VM's root.
#[derive(Debug, Clone)]
pub struct TakeKernel {
    /// The VM's files.
    pub files: VmFiles,
    /// Directory for what lies on the way.
    pub work: OwnDir,
    /// Directory in which the kernel's files are made.
    pub staging: OwnDir,
    /// The guest that reads: its `dir` is `work`, its disks are clones in it.
    pub spec: VmmSpec,
    /// Configuration of that guest; bare.
    pub setup: GuestSetup,
    /// The directory of the kernel that it boots, when its initramfs is not there yet.
    pub initramfs_of: Option<PathBuf>,
    /// Time for the guest to become reachable, in ms.
    pub boot_deadline_ms: u64,
}

/// Makes a kernel's files of the one in a VM's root.
pub fn take_kernel(op: OperationId, take: TakeKernel) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, PlanKind::TakeKernel, None, owner, Direction::Back);
    plan.steps = before_reading(
        (&take.work, &take.staging),
        (&take.spec, take.initramfs_of),
        &take.files,
    );
    let kernel = take.work.join("kernel");
    plan.steps.extend([
        ReadKernel {
            spec: take.spec,
            setup: Box::new(take.setup),
            into: kernel.clone(),
            deadline_ms: take.boot_deadline_ms,
        }
        .into(),
        MakeKernel {
            source: KernelSource::Dir {
                path: kernel.display().to_string(),
            },
            // Its root has them: none may be missing where it boots.
            all_modules: true,
            into: take.staging.to_path_buf(),
        }
        .into(),
        RemoveDirectory { path: take.work }.into(),
    ]);
    plan
}
