//! Paths and their handlers.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use banger_api::{ApiError, ErrorCode, routes};

use super::answer::Failed;
use super::body::MAX_BODY;
use super::{
    changes, checkpoints, detached, events, export, files, gate, logs, network, openapi, pull,
    secrets, streams, system, system_events, templates, vms, workspace,
};
use crate::build_id;
use crate::context::Daemon;

/// Header with which daemon and client tell each other their build.
pub(crate) const BUILD_HEADER: &str = "banger-build";

/// The API.
pub(crate) fn router(daemon: Daemon) -> Router {
    Router::new()
        .route(routes::OPENAPI, get(document))
        .route(routes::DAEMON, get(system::status))
        .route(routes::DAEMON_STOP, post(system::stop))
        .route(routes::DOCTOR, get(system::doctor))
        .route(routes::VMS, get(vms::list).post(vms::create))
        .route(routes::VMS_PRUNE, post(vms::prune))
        .route(
            routes::VM,
            get(vms::show).patch(vms::set).delete(vms::delete),
        )
        .route(routes::VM_START, post(vms::start))
        .route(routes::VM_STOP, post(vms::stop))
        .route(routes::VM_RESTART, post(vms::restart))
        .route(routes::VM_KILL, post(vms::kill))
        .route(routes::VM_SUSPEND, post(vms::suspend))
        .route(routes::VM_PAUSE, post(vms::pause))
        .route(routes::VM_RESUME, post(vms::resume))
        .route(
            routes::VM_CHECKPOINTS,
            get(checkpoints::list).post(checkpoints::create),
        )
        .route(routes::VM_CHECKPOINT, delete(checkpoints::delete))
        .route(routes::VM_CHECKPOINT_RESTORE, post(checkpoints::restore))
        .route(routes::VM_FORK, post(checkpoints::fork))
        .route(routes::VM_SAVE, post(files::save_vm))
        .route(routes::VM_EXEC, post(streams::exec))
        .route(
            routes::VM_DETACHED,
            get(detached::list).post(detached::start),
        )
        .route(routes::VM_ATTACH, post(detached::attach))
        .route(routes::VM_PUT_FILES, post(streams::put))
        .route(routes::VM_GET_FILES, post(streams::get))
        .route(routes::VM_CHANGES, post(changes::get))
        .route(routes::VM_DIGEST_FILES, post(workspace::digest))
        .route(routes::VM_REMOVE_FILES, post(workspace::remove))
        .route(
            routes::VM_WORKSPACE,
            get(workspace::show)
                .put(workspace::keep)
                .delete(workspace::forget)
                .layer(DefaultBodyLimit::max(routes::MAX_WORKSPACE_RECORD)),
        )
        .route(routes::VM_WORKSPACES, get(workspace::list))
        .route(routes::VM_CONNECT, post(streams::connect))
        .route(routes::VM_LOGS, get(logs::logs))
        .route(routes::VM_STATS, get(vms::stats))
        .route(routes::VM_PORTS, get(vms::ports).patch(vms::change_ports))
        .route(
            routes::VM_NETWORK,
            get(network::show).patch(network::change),
        )
        .route(routes::VM_NETWORK_CHECK, post(network::check))
        .route(routes::VM_NETWORK_LOG, get(network::log))
        .route(routes::VM_NETWORK_DENIALS, get(network::denials))
        .route(routes::VM_HEALTH, get(vms::health))
        .route(routes::IMAGES, get(files::images))
        .route(routes::IMAGES_BUILD, post(files::build))
        .route(routes::IMAGES_REGISTER, post(files::register))
        .route(routes::IMAGES_PULL, post(pull::pull))
        .route(routes::IMAGES_PRUNE, post(files::prune_images))
        .route(routes::IMAGE_CACHE_PRUNE, post(pull::prune_cache))
        .route(
            routes::IMAGE,
            get(files::image)
                .patch(files::rename_image)
                .delete(files::delete_image),
        )
        .route(routes::IMAGE_RESEED, post(files::reseed_image))
        .route(routes::IMAGE_EXPORT, get(export::export))
        .route(routes::KERNELS, get(files::kernels))
        .route(routes::KERNELS_IMPORT, post(files::import))
        .route(
            routes::KERNEL,
            get(files::kernel).delete(files::delete_kernel),
        )
        .route(routes::SECRETS, get(secrets::list))
        .route(routes::SECRET, put(secrets::set).delete(secrets::delete))
        .route(routes::TEMPLATES, get(templates::templates))
        .route(routes::TEMPLATES_PRUNE, post(templates::prune))
        .route(routes::OPERATIONS, get(events::log))
        .route(routes::OPERATION, get(events::show))
        .route(routes::OPERATION_EVENTS, get(events::follow))
        .route(routes::OPERATION_CANCEL, post(events::cancel))
        .route(routes::EVENTS, get(system_events::events))
        .route(routes::SYSTEM_RESOURCES, get(system::resources))
        .route(routes::SYSTEM_SWEEP, post(system::sweep))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(
            daemon.clone(),
            gate::through_gate,
        ))
        .layer(middleware::from_fn(with_build))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(daemon)
}

async fn document() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        openapi::openapi(),
    )
        .into_response()
}

async fn unknown(request: Request) -> Failed {
    let message = format!("there is no {} {}", request.method(), request.uri().path());
    Failed(ApiError::new(ErrorCode::NotFound, message).hint(format!("see {}", routes::OPENAPI)))
}

async fn with_build(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(build_id()) {
        response.headers_mut().insert(BUILD_HEADER, value);
    }
    response
}
