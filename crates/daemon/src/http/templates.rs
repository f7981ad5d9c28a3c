//! Templates.

use axum::extract::State;
use banger_api::error::ErrorBody;
use banger_api::template::{PrunedTemplates, Template};
use banger_api::vm::Prune;
use banger_control::template;

use super::answer::{Answer, answer};
use super::body::Body;
use crate::context::Daemon;

/// All templates.
#[utoipa::path(get, path = "/v1/templates", tag = "templates", responses((status = 200, body = Vec<Template>)))]
pub(super) async fn templates(State(daemon): State<Daemon>) -> Answer<Vec<Template>> {
    answer(move || template::templates(&daemon.control)).await
}

/// Remove all templates. VMs that run have their own copies.
#[utoipa::path(post, path = "/v1/templates/prune", tag = "templates", request_body = Prune,
    responses((status = 200, body = PrunedTemplates), (status = "default", body = ErrorBody)))]
pub(super) async fn prune(
    State(daemon): State<Daemon>,
    Body(request): Body<Prune>,
) -> Answer<PrunedTemplates> {
    answer(move || template::prune(&daemon.control, request.dry_run)).await
}
