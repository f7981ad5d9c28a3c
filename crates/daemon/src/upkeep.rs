//! Regular work of the daemon: logs are kept small, and the control plane forgets what is old.

use std::time::Duration;

use banger_api::vm::VmState;
use banger_control::system;
use banger_ops::plans;
use banger_store::vm;

use crate::context::Daemon;
use crate::ssh_hosts;

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(10);
/// Largest log of the daemon in the background, in bytes; its last half stays when it is cut.
const LOG_MAX: u64 = 8 << 20;
/// Largest console log, in bytes; its last half stays when it is cut.
const CONSOLE_MAX: u64 = 8 << 20;
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
    system::upkeep(&daemon.control, trim);
    ssh_hosts::keep(&daemon.ssh_hosts, &daemon.control);
    if let Err(error) = banger_engine::shorten_log(&daemon.paths.log(), LOG_MAX) {
        tracing::warn!(%error, "cannot shorten the daemon's log");
    }
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
}
