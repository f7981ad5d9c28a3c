//! Frozen layers of disks that nobody needs any more. They are counted in the store, so that VMs, checkpoints and forks go in any
//! order.

use std::sync::Arc;

use banger_api::operation::OperationKind;
use banger_api::{ApiError, LayerId};
use banger_ops::{OwnDir, plans};
use banger_store::{Connection, Owner, StoreError, claim, layer};

use crate::Control;
use crate::operations::{Asked, Running};

/// Layers with a claim and without a user, and their directories.
fn unused(db: &Connection) -> Result<Vec<(LayerId, OwnDir)>, StoreError> {
    let used = layer::used(db)?;
    let claims = claim::list(db)?.into_iter();
    let of_layers = claims.filter_map(|(claim, owner)| {
        let Ok(Owner::Layer(id)) = owner.parse() else {
            return None;
        };
        let dir = OwnDir::of_claim(&claim).ok()?;
        (!used.contains_key(&id.to_string())).then_some((id, dir))
    });
    Ok(of_layers.collect())
}

/// Removes the layers that nobody needs any more. Upkeep retries those that cannot be removed now.
pub(crate) fn forget_unused(control: &Control, op: &Arc<Running>) {
    if let Err(error) = try_forget(control, op) {
        tracing::warn!(%error, "layers that nobody needs any more cannot be removed yet");
    }
}

fn try_forget(control: &Control, op: &Arc<Running>) -> Result<(), ApiError> {
    for (id, dir) in control.read(unused)? {
        control.run(plans::delete_layer(op.id, id, dir), op)?;
    }
    Ok(())
}

/// The same in an operation of its own, when there are any.
pub(crate) fn forget_left_over(control: &Control) {
    let forget = || -> Result<(), ApiError> {
        if control.read(unused)?.is_empty() {
            return Ok(());
        }
        let task = control.clone();
        let asked = Asked::files(OperationKind::DeleteCheckpoint, Vec::new());
        let forget = move |op: &Arc<Running>, _locked| try_forget(&task, op);
        control.operations().spawn(asked, forget).map(drop)
    };
    if let Err(error) = forget() {
        tracing::warn!(%error, "cannot look for layers that nobody needs");
    }
}
