//! The daemon itself, and the host's preconditions.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use banger_api::doctor::Report;
use banger_api::error::ErrorBody;
use banger_api::system::{DaemonStatus, Resources, RunningOperation, StopDaemon, Sweep};
use banger_api::vm::VmState;
use banger_api::{ApiError, ErrorCode};
use banger_control::system;
use banger_store::vm;

use super::answer::{Answer, answer};
use super::body::Body;
use super::router::BUILD_HEADER;
use crate::context::Daemon;
use crate::{build_id, doctor, following, stats};

/// The daemon.
#[utoipa::path(get, path = "/v1/daemon", tag = "system", responses((status = 200, body = DaemonStatus)))]
pub(super) async fn status(State(daemon): State<Daemon>) -> Answer<DaemonStatus> {
    answer(move || status_of(&daemon)).await
}

fn status_of(daemon: &Daemon) -> Result<DaemonStatus, ApiError> {
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
        activity: Some(daemon.gate.activity(running_operations(daemon))),
        waiting_build: daemon.gate.waiting_build(),
    })
}

/// The operations that have not ended.
pub(crate) fn running_operations(daemon: &Daemon) -> Vec<RunningOperation> {
    let operations = daemon.control.operations();
    let running = operations.all_running();
    if running.is_empty() {
        return Vec::new();
    }
    // Without the store they have no names, and run all the same.
    let vms = daemon.read(vm::list).unwrap_or_default();
    let name = |id| {
        let vm = vms.iter().find(|vm| vm.id == id)?;
        Some(vm.name.to_string())
    };
    running
        .iter()
        .filter_map(|running| operations.view(running.id).ok())
        .map(|operation| RunningOperation {
            id: operation.id,
            kind: operation.kind,
            vm: operation.vm.and_then(name),
        })
        .collect()
}

/// Stop the daemon, unless something is under way that this would cut. VMs run on.
#[utoipa::path(post, path = "/v1/daemon/stop", tag = "system", request_body = StopDaemon,
    responses((status = 200, body = DaemonStatus), (status = "default", body = ErrorBody)))]
pub(super) async fn stop(
    State(daemon): State<Daemon>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<DaemonStatus> {
    let stop = match body.is_empty() {
        true => StopDaemon::default(),
        false => serde_json::from_slice(&body).map_err(|error| {
            let message = format!("the request is not valid: {error}");
            ApiError::new(ErrorCode::InvalidArgument, message)
        })?,
    };
    let build = headers
        .get(BUILD_HEADER)
        .and_then(|value| value.to_str().ok());
    if let Some(build) = build.filter(|_| stop.replace) {
        daemon.gate.asked_by(build);
    }
    answer(move || {
        let status = status_of(&daemon)?;
        match stop.force {
            true => daemon.gate.close(),
            false => daemon
                .gate
                .close_when_idle(|| running_operations(&daemon))
                .map_err(|activity| activity.refuses_to_end())?,
        }
        Ok(status)
    })
    .await
}

/// The host's preconditions.
#[utoipa::path(get, path = "/v1/doctor", tag = "system", responses((status = 200, body = Report)))]
pub(super) async fn doctor(State(daemon): State<Daemon>) -> Answer<Report> {
    answer(move || Ok(doctor::doctor(&daemon))).await
}

/// Things of banger on this host, and their claims.
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
