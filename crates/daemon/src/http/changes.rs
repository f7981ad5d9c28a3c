//! Changes in a tree of a guest since it was sent, as the guest's agent tells them.

use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use banger_api::error::ErrorBody;
use banger_guest::GetChanges;
use serde::Deserialize;

use super::answer::Failed;
use super::streams::{guest_path, switch, upgrade_of};
use super::vms::reach;
use crate::context::Daemon;
use crate::failure;

/// The tree.
#[derive(Deserialize)]
pub(super) struct ChangesQuery {
    path: String,
    /// Bytes of content, at most.
    max_bytes: u64,
}

/// Receive what changed in a tree of a guest since it was sent.
#[utoipa::path(post, path = "/v1/vms/{ref}/files/changes", tag = "vms",
    params(("ref" = String, Path), ("path" = String, Query), ("max_bytes" = u64, Query)),
    responses((status = 101, description = "frames follow: what was sent, then a tar stream of what changed"), (status = "default", body = ErrorBody)))]
pub(super) async fn get(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(query): Query<ChangesQuery>,
    mut request: Request,
) -> Result<Response, Failed> {
    let upgrade = upgrade_of(&mut request)?;
    let changes = GetChanges {
        root: guest_path(&query.path)?,
        max_bytes: query.max_bytes,
    };
    let (_record, client) = reach(&daemon, reference).await?;
    let call = client
        .get_changes(&changes)
        .await
        .map_err(|e| failure::of_guest(&e))?;
    Ok(switch(upgrade, call, ()))
}
