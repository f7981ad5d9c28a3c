//! Kernels as users see them.

use banger_api::ApiError;
use banger_api::kernel::Kernel;
use banger_store::{KernelRecord, VmRecord, kernel, vm};

use super::make::default_of;
use crate::Control;
use crate::artifact::{damage_as_read, users};
use crate::operations::timestamp;

/// All kernels.
///
/// # Errors
/// Only the store's.
pub fn kernels(control: &Control) -> Result<Vec<Kernel>, ApiError> {
    let vms = control.read(vm::list)?;
    let all = control.read(kernel::list)?;
    let view = |record| view(control, record, &all, &vms);
    Ok(all.iter().map(view).collect())
}

/// One kernel.
///
/// # Errors
/// Only the store's.
pub fn kernel_view(control: &Control, record: &KernelRecord) -> Result<Kernel, ApiError> {
    Ok(view(
        control,
        record,
        &control.read(kernel::list)?,
        &control.read(vm::list)?,
    ))
}

fn view(
    control: &Control,
    record: &KernelRecord,
    all: &[KernelRecord],
    vms: &[VmRecord],
) -> Kernel {
    let folder = control.places().kernel(&record.digest);
    let modules = control.environment().guest_modules(&folder);
    let unreadable = || modules.as_ref().err().map(|error| error.message.clone());
    let error = damage_as_read(record, unreadable);
    Kernel {
        name: record.name.clone(),
        version: record.version.clone(),
        digest: record.digest.with_algorithm(),
        source: record.source.clone(),
        image_bytes: record.image_bytes,
        modules: record.modules.clone(),
        guest_modules: modules.ok().flatten(),
        used_by: users(record, vms).len() as u64,
        default: default_of(all).is_some_and(|default| default.name == record.name),
        created_at: timestamp(record.created_ms),
        error,
    }
}
