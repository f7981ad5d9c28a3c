//! Pulling images.

use axum::extract::State;
use banger_api::error::ErrorBody;
use banger_api::image::PrunedCache;
use banger_api::pull::PullImage;
use banger_api::vm::{Accepted, Prune};
use banger_control::image;

use super::answer::{Answer, Started, answer, started};
use super::body::Body;
use crate::context::Daemon;
use crate::image_cache;

/// Make an image of a container image, from a registry or from this host.
#[utoipa::path(post, path = "/v1/images/pull", tag = "images", request_body = PullImage,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn pull(State(daemon): State<Daemon>, Body(request): Body<PullImage>) -> Started {
    started(move || image::pull(&daemon.control, request)).await
}

/// Remove what pulls have fetched.
#[utoipa::path(post, path = "/v1/image-cache/prune", tag = "images", request_body = Prune,
    responses((status = 200, body = PrunedCache), (status = "default", body = ErrorBody)))]
pub(super) async fn prune_cache(
    State(daemon): State<Daemon>,
    Body(request): Body<Prune>,
) -> Answer<PrunedCache> {
    answer(move || image_cache::prune_cache(&daemon, request.dry_run)).await
}
