//! VMs.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{Path, Query, State};
use banger_api::error::ErrorBody;
use banger_api::vm::{
    Accepted, ChangePorts, CreateVm, KillVm, Port, PruneVms, Pruned, SetVm, StopVm, Vm, VmHealth,
    VmState, VmStats,
};
use banger_api::{ApiError, Condition, ConditionCause, ErrorCode, InvalidLabel, LabelFilter};
use banger_control::{find_vm, vm};
use banger_guest::{Client, TransportProtocol};
use banger_ops::NetPlan;
use banger_ops::plans;
use banger_ops::policy::{self, Request};
use banger_process::Look;
use banger_store::VmRecord;
use serde::Deserialize;

use super::answer::{Answer, Failed, Started, answer, blocking, started};
use super::body::Body;
use crate::context::Daemon;
use crate::following;

/// All VMs, or those that every label selects.
#[utoipa::path(get, path = "/v1/vms", tag = "vms",
    params(("label" = Option<Vec<String>>, Query, description = "KEY=VALUE, or KEY with any value; repeatable")),
    responses((status = 200, body = Vec<Vm>), (status = "default", body = ErrorBody)))]
pub(super) async fn list(
    State(daemon): State<Daemon>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer<Vec<Vm>> {
    answer(move || {
        let labels = labels(query)?;
        let mut records = daemon.read(banger_store::vm::list)?;
        records.retain(|record| record.labels.match_all(&labels));
        let mut look = Look::new();
        let view = |record| shown(&daemon, record, &mut look);
        Ok(records.iter().map(view).collect())
    })
    .await
}

/// The labels that a query asks for.
fn labels(query: Vec<(String, String)>) -> Result<Vec<LabelFilter>, ApiError> {
    let label = |(key, value): (String, String)| match key.as_str() {
        "label" => value
            .parse()
            .map_err(|error: InvalidLabel| error.to_string()),
        _ => Err(format!("\"{key}\" cannot be asked for here: use label")),
    };
    let labels: Result<_, String> = query.into_iter().map(label).collect();
    labels.map_err(|message| ApiError::new(ErrorCode::InvalidArgument, message))
}

/// Make a VM.
#[utoipa::path(post, path = "/v1/vms", tag = "vms", request_body = CreateVm,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn create(State(daemon): State<Daemon>, Body(request): Body<CreateVm>) -> Started {
    started(move || vm::create(&daemon.control, request)).await
}

/// One VM.
#[utoipa::path(get, path = "/v1/vms/{ref}", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, body = Vm), (status = "default", body = ErrorBody)))]
pub(super) async fn show(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<Vm> {
    answer(move || {
        let record = find_vm(&daemon.control, &reference)?;
        Ok(shown(&daemon, &record, &mut Look::new()))
    })
    .await
}

/// Change a VM's settings.
#[utoipa::path(patch, path = "/v1/vms/{ref}", tag = "vms", params(("ref" = String, Path)), request_body = SetVm,
    responses((status = 200, body = Vm), (status = "default", body = ErrorBody)))]
pub(super) async fn set(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<SetVm>,
) -> Answer<Vm> {
    // Its turn at the VM may be a while away: no thread waits for it.
    let (give, answer) = tokio::sync::oneshot::channel();
    blocking(move || {
        vm::set(&daemon.control, &reference, request, move |result| {
            // Whoever asked may have gone.
            let _ = give.send(result);
        });
        Ok(())
    })
    .await?;
    Ok(Json(following::answered(answer).await?))
}

/// Change the published ports of a VM.
#[utoipa::path(patch, path = "/v1/vms/{ref}/ports", tag = "vms", params(("ref" = String, Path)),
    request_body = ChangePorts,
    responses((status = 200, body = Vm), (status = "default", body = ErrorBody)))]
pub(super) async fn change_ports(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<ChangePorts>,
) -> Answer<Vm> {
    // Its turn at the VM may be a while away: no thread waits for it.
    let (give, answer) = tokio::sync::oneshot::channel();
    let control = daemon.control.clone();
    blocking(move || {
        vm::change_ports(&control, &reference, request, move |result| {
            // Whoever asked may have gone.
            let _ = give.send(result);
        });
        Ok(())
    })
    .await?;
    let changed = following::answered(answer).await?;
    Ok(Json(Vm {
        servers: daemon.ports.of(changed.id),
        ..changed
    }))
}

/// Options of a deletion.
#[derive(Deserialize)]
pub(super) struct DeleteQuery {
    #[serde(default)]
    force: bool,
}

/// Delete a VM.
#[utoipa::path(delete, path = "/v1/vms/{ref}", tag = "vms",
    params(("ref" = String, Path), ("force" = Option<bool>, Query)),
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn delete(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Started {
    started(move || vm::delete(&daemon.control, &reference, query.force)).await
}

/// Start a VM.
#[utoipa::path(post, path = "/v1/vms/{ref}/start", tag = "vms", params(("ref" = String, Path)),
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn start(State(daemon): State<Daemon>, Path(reference): Path<String>) -> Started {
    started(move || vm::start(&daemon.control, &reference)).await
}

/// Stop a VM.
#[utoipa::path(post, path = "/v1/vms/{ref}/stop", tag = "vms", params(("ref" = String, Path)), request_body = StopVm,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn stop(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<StopVm>,
) -> Started {
    started(move || vm::stop(&daemon.control, &reference, &request)).await
}

/// Restart a VM.
#[utoipa::path(post, path = "/v1/vms/{ref}/restart", tag = "vms", params(("ref" = String, Path)),
    request_body = StopVm, responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn restart(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<StopVm>,
) -> Started {
    started(move || vm::restart(&daemon.control, &reference, &request)).await
}

/// Kill a VM.
#[utoipa::path(post, path = "/v1/vms/{ref}/kill", tag = "vms", params(("ref" = String, Path)), request_body = KillVm,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn kill(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<KillVm>,
) -> Started {
    started(move || vm::kill(&daemon.control, &reference, &request)).await
}

/// Save a VM's memory and end its VMM; a start lets it go on.
#[utoipa::path(post, path = "/v1/vms/{ref}/suspend", tag = "vms", params(("ref" = String, Path)),
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn suspend(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Started {
    started(move || vm::suspend(&daemon.control, &reference)).await
}

/// Let a guest stand still.
#[utoipa::path(post, path = "/v1/vms/{ref}/pause", tag = "vms", params(("ref" = String, Path)),
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn pause(State(daemon): State<Daemon>, Path(reference): Path<String>) -> Started {
    started(move || vm::pause(&daemon.control, &reference)).await
}

/// Let a guest that stands still go on.
#[utoipa::path(post, path = "/v1/vms/{ref}/resume", tag = "vms", params(("ref" = String, Path)),
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn resume(State(daemon): State<Daemon>, Path(reference): Path<String>) -> Started {
    started(move || vm::resume(&daemon.control, &reference)).await
}

/// Remove VMs that do not run.
#[utoipa::path(post, path = "/v1/vms/prune", tag = "vms", request_body = PruneVms,
    responses((status = 200, body = Pruned), (status = "default", body = ErrorBody)))]
pub(super) async fn prune(
    State(daemon): State<Daemon>,
    Body(request): Body<PruneVms>,
) -> Answer<Pruned> {
    answer(move || vm::prune(&daemon.control, &request)).await
}

/// A VM's use of resources.
#[utoipa::path(get, path = "/v1/vms/{ref}/stats", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, body = VmStats), (status = "default", body = ErrorBody)))]
pub(super) async fn stats(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<VmStats> {
    let record = record(&daemon, reference).await?;
    Ok(Json(crate::stats::stats(&daemon, &record).await?))
}

/// Health of a VM: its guest's answer.
#[utoipa::path(get, path = "/v1/vms/{ref}/health", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, body = VmHealth), (status = "default", body = ErrorBody)))]
pub(super) async fn health(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<VmHealth> {
    let record = record(&daemon, reference).await?;
    let mut health = VmHealth {
        id: record.id,
        name: record.name.clone(),
        state: record.state,
        healthy: false,
        round_trip_us: None,
        cause: None,
        conditions: daemon.conditions.of(&record, &mut Look::new()),
    };
    if record.state != VmState::Running {
        let cause = record
            .error
            .clone()
            .unwrap_or_else(|| format!("it is {}", record.state));
        health.cause = Some(cause);
        return Ok(Json(health));
    }
    // An agent that was only silent may answer by now; nothing else is worth the wait.
    let known = health.conditions.first();
    if let Some(condition) = known.filter(|known| known.cause != ConditionCause::Silent) {
        health.cause = Some(condition.to_string());
        return Ok(Json(health));
    }
    match ping(&daemon, &record).await {
        Ok(us) => {
            health.healthy = true;
            health.conditions.clear();
            health.round_trip_us = Some(us);
        }
        Err(error) => health.cause = Some(error.message),
    }
    Ok(Json(health))
}

async fn ping(daemon: &Daemon, record: &VmRecord) -> Result<u64, ApiError> {
    let client = client(daemon, record).await?;
    let began = std::time::Instant::now();
    client
        .ping()
        .await
        .map_err(|error| crate::failure::of_guest(&error))?;
    Ok(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Listeners in a guest.
#[utoipa::path(get, path = "/v1/vms/{ref}/ports", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, body = Vec<Port>), (status = "default", body = ErrorBody)))]
pub(super) async fn ports(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<Vec<Port>> {
    let (record, client) = reach(&daemon, reference).await?;
    let listeners = client
        .ports()
        .await
        .map_err(|error| crate::failure::of_guest(&error))?;
    let network = NetPlan::of(&record);
    let open = daemon.ports.of(record.id);
    let reach = |listener: &banger_guest::Listener| {
        let published = network
            .as_ref()
            .and_then(|plan| plan.leading_to(listener.address, listener.port));
        let published = published.map(|p| SocketAddr::new(p.host_ip, p.host_port).to_string());
        published.or_else(|| {
            let server = open.iter().find(|one| one.guest_port == listener.port);
            server.and_then(|one| one.at.clone())
        })
    };
    let port = |listener: banger_guest::Listener| {
        let tcp = listener.protocol == TransportProtocol::Tcp;
        Port {
            protocol: if tcp { "tcp" } else { "udp" }.to_owned(),
            address: listener.address.to_string(),
            port: listener.port,
            pid: listener.pid,
            reach: reach(&listener).filter(|_| tcp),
            process: listener.process,
        }
    };
    Ok(Json(listeners.into_iter().map(port).collect()))
}

/// A VM as users see it, with what is wrong with it now.
fn shown(daemon: &Daemon, record: &VmRecord, look: &mut Look) -> Vm {
    Vm {
        conditions: daemon.conditions.of(record, look),
        servers: daemon.ports.of(record.id),
        url: (record.state == VmState::Running)
            .then(|| daemon.front.url(record.name.as_str()))
            .flatten(),
        ..vm::vm_view(record)
    }
}

/// The record that a reference names.
pub(super) async fn record(daemon: &Daemon, reference: String) -> Result<VmRecord, Failed> {
    let daemon = daemon.clone();
    blocking(move || find_vm(&daemon.control, &reference)).await
}

/// A running VM and the conversation with its guest.
pub(super) async fn reach(
    daemon: &Daemon,
    reference: String,
) -> Result<(VmRecord, Client), Failed> {
    let record = record(daemon, reference).await?;
    let client = client(daemon, &record).await?;
    Ok((record, client))
}

async fn client(daemon: &Daemon, record: &VmRecord) -> Result<Client, ApiError> {
    policy::check(Request::Reach, record.name.as_str(), record.state)?;
    let vmm = plans::identity(record)
        .ok_or_else(|| ApiError::new(ErrorCode::GuestUnreachable, "its VMM is not known"))?;
    let explained = |condition: Condition| {
        ApiError::new(ErrorCode::GuestUnreachable, condition.to_string())
            .hint(condition.hint(record.name.as_str()))
    };
    if let Some(lost) = daemon.conditions.lost_agent(&vmm) {
        return Err(explained(lost));
    }
    let client = daemon.channels.client(record.id, &vmm.channel_socket).await;
    client.map_err(|error| {
        let known = daemon.conditions.of(record, &mut Look::new());
        known.into_iter().next().map_or(error, explained)
    })
}
