//! VMs that boot the kernel of their own root: the image's, or one that was installed there since.
//!
//! ```text
//! start ─► wanted? ─► take ─► plan "start" ─► the guest finds another kernel in its root ─► take ─► plan "start"
//!                      └─ plan "take": a guest over clones of the disks sends it; published like any other kernel
//! ```
//!
//! The guest that reads has the disk of modules of the kernel that boots: packages of the same release have written theirs over
//! it, and not into the root. A kernel that was taken goes with the last VM that boots it.

use banger_api::kernel::KernelChoice;
use banger_api::vm::VmState;
use banger_api::{ApiError, ErrorCode};
use banger_ops::{plans, store_error};
use banger_store::{KernelRecord, OwnKernel, VmRecord, vm};

use super::on_vm::{Turn, gone};
use super::save;
use crate::{Control, artifact, kernel};

/// Applies a choice of the kernel to a VM's record.
///
/// # Errors
/// `not_found`; `internal` for a damaged one.
pub(super) fn choose(
    control: &Control,
    record: &mut VmRecord,
    choice: &KernelChoice,
) -> Result<(), ApiError> {
    match choice {
        KernelChoice::Named(name) => {
            if let Some(kernel) = kernel::wanted(control, Some(name))? {
                record.kernel = kernel.name;
                record.kernel_digest = kernel.digest;
                record.own_kernel = OwnKernel::No;
            }
        }
        KernelChoice::Image if record.own_kernel == OwnKernel::No => {
            record.own_kernel = OwnKernel::Wanted;
        }
        KernelChoice::Image => {}
    }
    Ok(())
}

impl<'a> Turn<'a> {
    /// The VM with the kernel that is installed in its root. When that cannot be had, the VM does not boot: as after every
    /// start that failed, its state says why.
    pub(super) fn with_own_kernel(&self) -> Result<Turn<'a>, ApiError> {
        let Err(error) = self.take_kernel() else {
            return self.again();
        };
        let (id, failed) = (self.record.id, error.clone());
        let told = self.control.store().write(move |tx| {
            let Some(mut record) = vm::by_id(tx, id)? else {
                return Ok(());
            };
            if failed.code != ErrorCode::Cancelled {
                record.state = VmState::Error;
                record.error = Some(failed.message);
            }
            record.reboots.due = false;
            vm::update(tx, &record).map(|_there| ())
        });
        told.map_err(store_error)?;
        Err(error)
    }

    /// Makes the kernel that is installed in the root of the VM, which does not run, the one that it boots.
    ///
    /// # Errors
    /// `guest_failed` when there is none; `invalid_argument` for one that no guest can boot; those of its making.
    fn take_kernel(&self) -> Result<(), ApiError> {
        let control = self.control;
        let staging = control.places().making(self.op.id, "kernel");
        let take = plans::TakeKernel {
            reading: save::reading(self, true)?,
            staging: staging.clone(),
        };
        let name = &self.record.name;
        self.run(plans::take_kernel(self.op.id, take))
            .map_err(|error| {
                error.hint(format!(
                    "to boot a kernel of the host's: banger vm set {name} --kernel NAME (banger kernel list)"
                ))
            })?;
        let taken = kernel::publish_of_root(control, self.op, name, staging)?;
        let id = self.record.id;
        let changed = control.store().write(move |tx| {
            let Some(mut record) = vm::by_id(tx, id)? else {
                return Ok(false);
            };
            record.kernel = taken.name;
            record.kernel_digest = taken.digest;
            record.own_kernel = OwnKernel::Taken;
            vm::update(tx, &record)?;
            Ok(true)
        });
        let outcome = changed.map_err(store_error);
        // The one before, or this one when its VM is gone.
        artifact::forget_unused::<KernelRecord>(control, self.op);
        match outcome? {
            true => Ok(()),
            false => Err(gone()),
        }
    }
}
