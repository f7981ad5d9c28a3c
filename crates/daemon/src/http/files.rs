//! Images and kernels.

use axum::extract::{Path, State};
use banger_api::error::ErrorBody;
use banger_api::image::{
    BuildImage, Image, PrunedImages, RegisterImage, RenameImage, ReseedImage, SaveVm,
};
use banger_api::kernel::{ImportKernel, Kernel};
use banger_api::vm::{Accepted, Prune};
use banger_control::{find_image, find_kernel, image, kernel, vm};

use super::answer::{Answer, Started, answer, started};
use super::body::Body;
use crate::context::Daemon;

/// All images.
#[utoipa::path(get, path = "/v1/images", tag = "images", responses((status = 200, body = Vec<Image>)))]
pub(super) async fn images(State(daemon): State<Daemon>) -> Answer<Vec<Image>> {
    answer(move || image::images(&daemon.control)).await
}

/// One image.
#[utoipa::path(get, path = "/v1/images/{ref}", tag = "images", params(("ref" = String, Path)),
    responses((status = 200, body = Image), (status = "default", body = ErrorBody)))]
pub(super) async fn image(State(daemon): State<Daemon>, Path(name): Path<String>) -> Answer<Image> {
    answer(move || image::image_view(&daemon.control, &find_image(&daemon.control, &name)?)).await
}

/// Build an image from a recipe.
#[utoipa::path(post, path = "/v1/images/build", tag = "images", request_body = BuildImage,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn build(
    State(daemon): State<Daemon>,
    Body(request): Body<BuildImage>,
) -> Started {
    started(move || image::build(&daemon.control, request)).await
}

/// Make an image from a root file system on this host.
#[utoipa::path(post, path = "/v1/images/register", tag = "images", request_body = RegisterImage,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn register(
    State(daemon): State<Daemon>,
    Body(request): Body<RegisterImage>,
) -> Started {
    started(move || image::register(&daemon.control, request)).await
}

/// Delete an image.
#[utoipa::path(delete, path = "/v1/images/{ref}", tag = "images", params(("ref" = String, Path)),
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn delete_image(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
) -> Started {
    started(move || image::delete(&daemon.control, &name)).await
}

/// Give an image another name.
#[utoipa::path(patch, path = "/v1/images/{ref}", tag = "images", params(("ref" = String, Path)), request_body = RenameImage,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn rename_image(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
    Body(request): Body<RenameImage>,
) -> Started {
    started(move || image::rename(&daemon.control, &name, request.name)).await
}

/// Give an image another work seed.
#[utoipa::path(post, path = "/v1/images/{ref}/reseed", tag = "images", params(("ref" = String, Path)),
    request_body = ReseedImage, responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn reseed_image(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
    Body(request): Body<ReseedImage>,
) -> Started {
    started(move || image::reseed(&daemon.control, &name, request)).await
}

/// Make an image of a VM that does not run.
#[utoipa::path(post, path = "/v1/vms/{ref}/save", tag = "vms", params(("ref" = String, Path)), request_body = SaveVm,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn save_vm(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(request): Body<SaveVm>,
) -> Started {
    started(move || vm::save(&daemon.control, &reference, request)).await
}

/// Remove images that no VM uses.
#[utoipa::path(post, path = "/v1/images/prune", tag = "images", request_body = Prune,
    responses((status = 200, body = PrunedImages), (status = "default", body = ErrorBody)))]
pub(super) async fn prune_images(
    State(daemon): State<Daemon>,
    Body(request): Body<Prune>,
) -> Answer<PrunedImages> {
    answer(move || image::prune(&daemon.control, request.dry_run)).await
}

/// All kernels.
#[utoipa::path(get, path = "/v1/kernels", tag = "kernels", responses((status = 200, body = Vec<Kernel>)))]
pub(super) async fn kernels(State(daemon): State<Daemon>) -> Answer<Vec<Kernel>> {
    answer(move || kernel::kernels(&daemon.control)).await
}

/// One kernel.
#[utoipa::path(get, path = "/v1/kernels/{ref}", tag = "kernels", params(("ref" = String, Path)),
    responses((status = 200, body = Kernel), (status = "default", body = ErrorBody)))]
pub(super) async fn kernel(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
) -> Answer<Kernel> {
    answer(move || kernel::kernel_view(&daemon.control, &find_kernel(&daemon.control, &name)?))
        .await
}

/// Import a kernel.
#[utoipa::path(post, path = "/v1/kernels/import", tag = "kernels", request_body = ImportKernel,
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn import(
    State(daemon): State<Daemon>,
    Body(request): Body<ImportKernel>,
) -> Started {
    started(move || kernel::import(&daemon.control, request)).await
}

/// Delete a kernel.
#[utoipa::path(delete, path = "/v1/kernels/{ref}", tag = "kernels", params(("ref" = String, Path)),
    responses((status = 202, body = Accepted), (status = "default", body = ErrorBody)))]
pub(super) async fn delete_kernel(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
) -> Started {
    started(move || kernel::delete(&daemon.control, &name)).await
}
