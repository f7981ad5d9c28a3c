//! Events of running VMs without a request: VMMs end by themselves, and ephemeral VMs are forgotten.
//!
//! ```text
//! running VM ──► heartbeat … pidfd readable ──► vm::vmm_ended
//! VM of a run, started or adopted ──► a minute ──► did its run begin? ── yes ──► the end of the run's stream deletes it
//!                                       ▲   files are on their way to it ┤
//!                                       └────────────────────────────────┴── no ──► deleted
//! ```
//! The store is used on a thread that may block, never on one of the runtime's.

use std::convert::Infallible;
use std::time::Instant;

use banger_api::VmId;
use banger_control::Control;
use banger_control::vm::{self, Look};
use banger_engine::VmmIdentity;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::conditions::Heartbeat;
use crate::ports::Keeper;
use crate::readiness::readable;

/// Waits for the end of a VM's VMM, with a heartbeat until then and its servers at this host, and has the control plane clean up
/// after it.
pub(super) async fn vmm(heartbeat: Heartbeat, servers: Option<Keeper>) {
    let control = heartbeat.control.clone();
    let (id, vmm) = (heartbeat.vm, heartbeat.vmm.clone());
    tokio::select! {
        () = gone(&vmm) => {}
        never = heartbeat.beat() => match never {},
        never = kept(servers) => match never {},
    }
    on_a_thread(move || {
        if let Err(error) = vm::vmm_ended(&control, id, vmm) {
            tracing::error!(vm = %id, %error, "cannot clean up after a VMM that ended");
        }
    })
    .await;
}

async fn kept(servers: Option<Keeper>) -> Infallible {
    match servers {
        Some(keeper) => keeper.keep().await,
        None => std::future::pending().await,
    }
}

/// Waits until the process has ended. One that cannot be opened has ended already.
async fn gone(vmm: &VmmIdentity) {
    let pid = i32::try_from(vmm.pid).ok().and_then(Pid::from_raw);
    let Some(fd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok()) else {
        return;
    };
    // The pid may have been reused between its recording and this: then the process of the pidfd is not the VMM, and
    // the clean-up finds the VMM gone when it asks.
    if let Ok(fd) = readable(fd) {
        let _ = fd.readable().await;
    }
}

/// Deletes an ephemeral VM whose run does not begin.
pub(super) async fn run(control: Control, id: VmId) {
    let started = Instant::now();
    loop {
        match control.runs().look(id, started) {
            Look::Begun => return,
            Look::Wait(time) => tokio::time::sleep(time).await,
            Look::Abandoned => break,
        }
    }
    tracing::info!(vm = %id, "deleting an ephemeral VM: its run never started");
    on_a_thread(move || vm::delete_unclaimed(&control, id)).await;
}

pub(super) async fn on_a_thread(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "a task of the daemon failed");
    }
}
