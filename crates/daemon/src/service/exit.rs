//! VMMs that end by themselves: noticed at once, through a pidfd, and cleaned up after.
//!
//! ```text
//! running VM ──► pidfd readable ──► lock, still the same VMM? ──► plan: sockets and claims gone, state and cause kept
//! ```

use banger_api::vm::VmState;
use banger_api::{ApiError, VmId};
use banger_engine::VmmIdentity;
use banger_ops::plans;
use banger_store::{VmRecord, vm};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::console;
use crate::context::Daemon;
use crate::readiness::readable;

/// Lines of the console that a VM's error shows.
const CONSOLE_LINES: usize = 8;

/// Watches the VMM of a VM that runs now. Returns at once.
pub(crate) fn watch(daemon: &Daemon, id: VmId) {
    let task = daemon.clone();
    tokio::spawn(async move {
        let Ok(Some(record)) = task.read(|db| vm::by_id(db, id)) else {
            return;
        };
        let Some(vmm) = plans::identity(&record) else {
            return;
        };
        gone(&vmm).await;
        if let Err(error) = clean_up(&task, id, vmm) {
            tracing::error!(vm = %id, %error, "cannot clean up after a VMM that ended");
        }
    });
}

/// Waits until the process has ended. One that cannot be opened has ended already.
async fn gone(vmm: &VmmIdentity) {
    let pid = i32::try_from(vmm.pid).ok().and_then(Pid::from_raw);
    let Some(fd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok()) else {
        return;
    };
    // The pid may have been reused between its recording and this: then the process of the pidfd is not the VMM, and
    // the clean-up below finds the VMM gone when it asks.
    if let Ok(fd) = readable(fd) {
        let _ = fd.readable().await;
    }
}

fn clean_up(daemon: &Daemon, id: VmId, vmm: VmmIdentity) -> Result<(), ApiError> {
    let same = |record: &VmRecord| {
        record.state == VmState::Running && plans::identity(record).as_ref() == Some(&vmm)
    };
    // A stop or delete that ended it has changed the state already: nothing to do, no operation.
    let Some(record) = daemon.read(|db| vm::by_id(db, id))?.filter(same) else {
        return Ok(());
    };
    let (task, owned) = (daemon.clone(), vmm.clone());
    daemon.operations.spawn(
        "vmm_ended",
        Some((id, record.name.to_string())),
        move |op| {
            let _lock = task.hold(id)?;
            let same = |record: &VmRecord| {
                record.state == VmState::Running && plans::identity(record).as_ref() == Some(&owned)
            };
            let Some(record) = task.read(|db| vm::by_id(db, id))?.filter(same) else {
                return Ok(());
            };
            task.channels.close(id);
            let Some(cause) = task.runner.host().vmm_exit(&owned)? else {
                return Ok(());
            };
            let mut plan = plans::end_after_exit(&record, &with_console(&owned, &cause));
            plan.operation = op.id;
            task.runner.run(&plan, &**op, &op.cancel)
        },
    )?;
    Ok(())
}

/// The cause, with the last console lines when it is not an orderly end.
fn with_console(vmm: &VmmIdentity, cause: &str) -> String {
    if !cause.contains("panic") {
        return cause.to_owned();
    }
    let tail = console::tail(&vmm.console_log, CONSOLE_LINES);
    format!("{cause}\nlast console lines:\n{tail}")
}
