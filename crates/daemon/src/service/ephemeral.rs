//! VMs of `vm run --rm`: gone when their run ends, also when whoever asked for them is gone before it began.
//!
//! ```text
//! started or adopted ──► a minute ──► did its run begin? ── yes ──► the end of the run's stream deletes it
//!                                          └── no ──► deleted
//! ```

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use banger_api::{ErrorCode, VmId};
use banger_store::vm;

use crate::context::Daemon;

/// Time between the end of a start and the exec that the VM was made for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ephemeral VMs whose run has begun under this daemon.
#[derive(Default)]
pub(crate) struct Runs(Mutex<HashSet<VmId>>);

impl Runs {
    /// The run of this VM begins.
    pub(crate) fn begin(&self, vm: VmId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(vm);
    }

    fn take(&self, vm: VmId) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&vm)
    }
}

/// Deletes an ephemeral VM whose run does not begin. Returns at once; does nothing for other VMs.
pub(crate) fn expect_run(daemon: &Daemon, id: VmId) {
    let ephemeral = daemon
        .read(|db| vm::by_id(db, id))
        .ok()
        .flatten()
        .is_some_and(|vm| vm.ephemeral);
    if !ephemeral {
        return;
    }
    let task = daemon.clone();
    tokio::spawn(async move {
        tokio::time::sleep(PATIENCE).await;
        if task.runs.take(id) {
            return;
        }
        tracing::info!(vm = %id, "nobody came for a VM of a run: deleting it");
        let deleted = super::delete(&task, &id.to_string(), true);
        if let Err(error) = deleted.map(drop)
            && error.code != ErrorCode::NotFound
        {
            tracing::error!(vm = %id, %error, "cannot delete a VM that nobody came for");
        }
    });
}
