//! What a control plane does now and then.

use banger_store::operation;

use crate::{Control, image};

/// How long finished operations are remembered, in ms: 30 days.
const OPERATIONS_KEPT_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Tries again what was given up half-way. With `forget`, which is for once an hour, forgets what nobody needs any more:
/// images that were there for VMs alone, and old operations. Blocks.
pub fn upkeep(control: &Control, forget: bool) {
    control.runner().settle_files();
    if !forget {
        return;
    }
    if let Err(error) = image::forget_left_over(control) {
        tracing::warn!(%error, "cannot look for images that nobody needs");
    }
    let before = control.now_ms() - OPERATIONS_KEPT_MS;
    let trimmed = control.store().write(move |tx| operation::trim(tx, before));
    if let Err(error) = trimmed {
        tracing::warn!(%error, "cannot forget old operations");
    }
}
