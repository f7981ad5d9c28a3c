//! The OpenAPI document, made from the types and handlers themselves.

use utoipa::OpenApi;

use super::{changes, checkpoints, events, files, streams, system, vms, workspace};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "banger",
        description = "Private Linux machines on this host. HTTP/1.1 on a Unix socket."
    ),
    paths(
        vms::list,
        vms::create,
        vms::show,
        vms::set,
        vms::delete,
        vms::start,
        vms::stop,
        vms::restart,
        vms::kill,
        vms::suspend,
        vms::pause,
        vms::resume,
        checkpoints::list,
        checkpoints::create,
        checkpoints::restore,
        checkpoints::delete,
        checkpoints::fork,
        vms::prune,
        vms::stats,
        vms::health,
        vms::ports,
        vms::change_ports,
        super::network::show,
        super::network::change,
        super::network::check,
        super::network::log,
        super::network::denials,
        super::logs::logs,
        streams::exec,
        super::detached::start,
        super::detached::list,
        super::detached::attach,
        streams::put,
        streams::get,
        changes::get,
        streams::connect,
        workspace::digest,
        workspace::remove,
        workspace::show,
        workspace::keep,
        workspace::forget,
        workspace::list,
        files::images,
        files::image,
        files::build,
        files::register,
        super::pull::pull,
        files::delete_image,
        files::rename_image,
        files::reseed_image,
        files::prune_images,
        super::pull::prune_cache,
        files::save_vm,
        super::export::export,
        files::kernels,
        files::kernel,
        files::import,
        files::delete_kernel,
        super::secrets::list,
        super::secrets::set,
        super::secrets::delete,
        super::templates::templates,
        super::templates::prune,
        events::log,
        events::show,
        events::cancel,
        events::follow,
        super::system_events::events,
        system::status,
        system::stop,
        system::doctor,
        system::resources,
        system::sweep,
    )
)]
struct Document;

/// The document as pretty JSON.
pub fn openapi() -> String {
    Document::openapi().to_pretty_json().unwrap_or_default()
}
