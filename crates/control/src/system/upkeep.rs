//! Periodic work of a control plane.

use banger_store::{ImageRecord, KernelRecord, event, operation};

use crate::{Control, artifact, layers, template};

/// Time that finished operations are remembered, in ms: 30 days.
const OPERATIONS_KEPT_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// Number of events that are kept, for as long as operations: some 20 MiB.
const EVENTS_KEPT: u64 = 100_000;

/// Retries plans that were given up half-way. With `forget` (once an hour), also removes superseded images and kernels of roots
/// without VMs, layers that nobody needs, unused templates, and the records of old operations and events. Blocks.
pub fn upkeep(control: &Control, forget: bool) {
    control.runner().settle_files();
    if !forget {
        return;
    }
    artifact::forget_left_over::<ImageRecord>(control);
    artifact::forget_left_over::<KernelRecord>(control);
    layers::forget_left_over(control);
    template::sweep(control);
    let before = control.now_ms() - OPERATIONS_KEPT_MS;
    let trimmed = control.store().write(move |tx| operation::trim(tx, before));
    if let Err(error) = trimmed {
        tracing::warn!(%error, "cannot forget old operations");
    }
    let trimmed = (control.store()).write(move |tx| event::trim(tx, before, EVENTS_KEPT));
    if let Err(error) = trimmed {
        tracing::warn!(%error, "cannot forget old events");
    }
}
