//! The daemon itself, and the host's preconditions.

use axum::extract::State;
use banger_api::doctor::Report;
use banger_api::system::{DaemonStatus, Resources, Sweep};
use banger_api::vm::VmState;
use banger_control::system;
use banger_store::vm;

use super::answer::{Answer, answer};
use super::body::Body;
use crate::context::Daemon;
use crate::{build_id, doctor, following, stats};

/// The daemon.
#[utoipa::path(get, path = "/v1/daemon", tag = "system", responses((status = 200, body = DaemonStatus)))]
pub(super) async fn status(State(daemon): State<Daemon>) -> Answer<DaemonStatus> {
    answer(move || status_of(&daemon)).await
}

fn status_of(daemon: &Daemon) -> Result<DaemonStatus, banger_api::ApiError> {
    let vms = daemon.read(vm::list)?;
    Ok(DaemonStatus {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: build_id().to_owned(),
        socket: daemon.paths.socket().display().to_string(),
        uptime_s: daemon.started.elapsed().as_secs(),
        running_vms: vms.iter().filter(|vm| vm.state == VmState::Running).count() as u64,
        memory_bytes: stats::memory_bytes(std::process::id()).unwrap_or(0),
        default_net: daemon.config.network.mode.unwrap_or_default(),
    })
}

/// Stop the daemon. VMs run on.
#[utoipa::path(post, path = "/v1/daemon/stop", tag = "system", responses((status = 200, body = DaemonStatus)))]
pub(super) async fn stop(State(daemon): State<Daemon>) -> Answer<DaemonStatus> {
    let status = answer({
        let daemon = daemon.clone();
        move || status_of(&daemon)
    })
    .await;
    daemon.stop.cancel();
    status
}

/// The host's preconditions.
#[utoipa::path(get, path = "/v1/doctor", tag = "system", responses((status = 200, body = Report)))]
pub(super) async fn doctor(State(daemon): State<Daemon>) -> Answer<Report> {
    answer(move || Ok(doctor::doctor(&daemon))).await
}

/// What banger owns on this host, and who claims it.
#[utoipa::path(get, path = "/v1/system/resources", tag = "system", responses((status = 200, body = Resources)))]
pub(super) async fn resources(State(daemon): State<Daemon>) -> Answer<Resources> {
    answer(move || system::resources(&daemon.control)).await
}

/// Remove what nothing claims.
#[utoipa::path(post, path = "/v1/system/sweep", tag = "system", request_body = Sweep,
    responses((status = 200, body = Resources)))]
pub(super) async fn sweep(
    State(daemon): State<Daemon>,
    Body(request): Body<Sweep>,
) -> Answer<Resources> {
    let (swept, running) = super::answer::blocking({
        let daemon = daemon.clone();
        move || system::sweep(&daemon.control, request.dry_run)
    })
    .await?;
    if let Some(running) = running {
        following::finished(&running).await?;
    }
    Ok(axum::Json(swept))
}
