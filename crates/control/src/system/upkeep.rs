//! Periodic work of a control plane.

use banger_store::operation;

use crate::{Control, image, kernel, template};

/// Time that finished operations are remembered, in ms: 30 days.
const OPERATIONS_KEPT_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Retries plans that were given up half-way. With `forget` (once an hour), also removes superseded images and kernels of roots
/// without VMs, unused templates and the records of old operations. Blocks.
pub fn upkeep(control: &Control, forget: bool) {
    control.runner().settle_files();
    if !forget {
        return;
    }
    if let Err(error) = image::forget_left_over(control) {
        tracing::warn!(%error, "cannot look for images that nobody needs");
    }
    template::sweep(control);
    if let Err(error) = kernel::forget_left_over(control) {
        tracing::warn!(%error, "cannot look for kernels that nobody boots");
    }
    let before = control.now_ms() - OPERATIONS_KEPT_MS;
    let trimmed = control.store().write(move |tx| operation::trim(tx, before));
    if let Err(error) = trimmed {
        tracing::warn!(%error, "cannot forget old operations");
    }
}
