//! Checkpoints of VMs.

use axum::extract::{Path, State};
use banger_api::checkpoint::{Checkpoint, CreateCheckpoint, ForkVm, RestoreCheckpoint};
use banger_api::error::ErrorBody;
use banger_api::vm::Accepted;
use banger_control::vm;

use super::answer::{Answer, Started, answer, started};
use super::body::Body;
use crate::context::Daemon;

/// The checkpoints of a VM, the oldest first.
#[utoipa::path(get, path = "/v1/vms/{ref}/checkpoints", tag = "vms", params(("ref" = String, Path)),
    operation_id = "checkpoints",
    responses((status = 200, body = Vec<Checkpoint>), (status = "default", body = ErrorBody)))]
pub(super) async fn list(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<Vec<Checkpoint>> {
    answer(move || vm::checkpoints(&daemon.control, &reference)).await
}

/// Keep the disks of a VM, while it runs or not.
#[utoipa::path(post, path = "/v1/vms/{ref}/checkpoints", tag = "vms", params(("ref" = String, Path)),
    operation_id = "create_checkpoint", request_body = CreateCheckpoint,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn create(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<CreateCheckpoint>,
) -> Started {
    started(move || vm::create_checkpoint(&daemon.control, &reference, request)).await
}

/// Let a VM go back to a checkpoint.
#[utoipa::path(post, path = "/v1/vms/{ref}/checkpoints/{checkpoint}/restore", tag = "vms",
    params(("ref" = String, Path), ("checkpoint" = String, Path)),
    operation_id = "restore_checkpoint", request_body = RestoreCheckpoint,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn restore(
    State(daemon): State<Daemon>,
    Path((reference, checkpoint)): Path<(String, String)>,
    Body(request): Body<RestoreCheckpoint>,
) -> Started {
    started(move || vm::restore_checkpoint(&daemon.control, &reference, &checkpoint, &request))
        .await
}

/// Forget a checkpoint.
#[utoipa::path(delete, path = "/v1/vms/{ref}/checkpoints/{checkpoint}", tag = "vms",
    params(("ref" = String, Path), ("checkpoint" = String, Path)),
    operation_id = "delete_checkpoint",
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn delete(
    State(daemon): State<Daemon>,
    Path((reference, checkpoint)): Path<(String, String)>,
) -> Started {
    started(move || vm::delete_checkpoint(&daemon.control, &reference, &checkpoint)).await
}

/// Make VMs of a VM's disks, as they are or were at a checkpoint.
#[utoipa::path(post, path = "/v1/vms/{ref}/fork", tag = "vms", params(("ref" = String, Path)),
    operation_id = "fork", request_body = ForkVm,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn fork(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<ForkVm>,
) -> Started {
    started(move || vm::fork(&daemon.control, &reference, request)).await
}
