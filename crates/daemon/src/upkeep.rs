//! What is done now and then: console logs are kept small, old operations are forgotten.

use std::time::Duration;

use banger_api::vm::VmState;
use banger_ops::plans;
use banger_store::{operation, vm};

use crate::context::Daemon;
use crate::operations::now_ms;
use crate::service;

/// How often.
const INTERVAL: Duration = Duration::from_secs(10);
/// Largest console log, in bytes; its last half stays when it is cut.
const CONSOLE_MAX: u64 = 8 << 20;
/// How long finished operations are remembered, in ms: 30 days.
const OPERATIONS_KEPT_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// Rounds between two looks at old operations: an hour.
const TRIM_EVERY: u32 = 360;

/// Runs for ever.
pub(crate) async fn upkeep(daemon: Daemon) {
    let mut rounds = 0_u32;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let task = daemon.clone();
        let trim = rounds.is_multiple_of(TRIM_EVERY);
        let done = tokio::task::spawn_blocking(move || round(&task, trim)).await;
        if let Err(error) = done {
            tracing::error!(%error, "upkeep failed");
        }
        rounds = rounds.wrapping_add(1);
    }
}

fn round(daemon: &Daemon, trim: bool) {
    daemon.runner.settle_files();
    let Ok(vms) = daemon.read(vm::list) else {
        return;
    };
    for record in vms.iter().filter(|vm| vm.state == VmState::Running) {
        let Some(vmm) = plans::identity(record) else {
            continue;
        };
        // A guest may write to its console without end.
        if let Err(error) = daemon.engine.trim(&vmm, CONSOLE_MAX) {
            tracing::warn!(vm = %record.name, %error, "cannot shorten a console log");
        }
    }
    if trim {
        if let Err(error) = service::forget_left_over(daemon) {
            tracing::warn!(%error, "cannot look for images that nobody needs");
        }
        let before = now_ms() - OPERATIONS_KEPT_MS;
        if let Err(error) = daemon.store.write(move |tx| operation::trim(tx, before)) {
            tracing::warn!(%error, "cannot forget old operations");
        }
    }
}
