//! Making a kernel's files of the one that is installed in the root of a VM that does not run.
//!
//! ```text
//! take  Back  work directory, clones of the disks, a guest over them sends its kernel, kernel's files, work directory gone
//!                                                                                     (owner: the operation)
//! ```
//! The host never reads the disks: the guest sends files, which are checked like those of any other kernel.

use banger_api::OperationId;
use banger_api::kernel::KernelSource;
use banger_store::Owner;

use super::save::{Reading, before_reading};
use crate::steps::{MakeKernel, ReadKernel, RemoveDirectory};
use crate::{Direction, OwnDir, Plan, PlanKind};

/// Inputs of taking the kernel of a VM's root.
#[derive(Debug, Clone)]
pub struct TakeKernel {
    /// The way to the VM's root.
    pub reading: Reading,
    /// Directory in which the kernel's files are made.
    pub staging: OwnDir,
}

/// Makes a kernel's files of the one in a VM's root.
pub fn take_kernel(op: OperationId, take: TakeKernel) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, PlanKind::TakeKernel, None, owner, Direction::Back);
    plan.steps = before_reading(&take.reading, &take.staging);
    let kernel = take.reading.work.join("kernel");
    plan.steps.extend([
        ReadKernel {
            reader: take.reading.reader,
            into: kernel.clone(),
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
        RemoveDirectory {
            path: take.reading.work,
        }
        .into(),
    ]);
    plan
}
