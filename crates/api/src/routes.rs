//! The paths of the API. `{ref}` is a name, a full id or a unique prefix of an id.

/// Value of the `Upgrade` header of exec, files and connect.
pub const UPGRADE_PROTOCOL: &str = "banger-stream";

/// Largest workspace record, in bytes: some million files.
pub const MAX_WORKSPACE_RECORD: usize = 256 * 1024 * 1024;

/// OpenAPI document.
pub const OPENAPI: &str = "/v1/openapi.json";
/// `GET`: [`crate::system::DaemonStatus`].
pub const DAEMON: &str = "/v1/daemon";
/// `POST`: stop the daemon; running VMs stay.
pub const DAEMON_STOP: &str = "/v1/daemon/stop";
/// `GET`: [`crate::doctor::Report`].
pub const DOCTOR: &str = "/v1/doctor";
/// `GET` (`?label=KEY=VALUE` or `?label=KEY`, repeatable): all [`crate::vm::Vm`]s that every label selects; `POST` [`crate::vm::CreateVm`]: [`crate::vm::Accepted`].
pub const VMS: &str = "/v1/vms";
/// `POST` [`crate::vm::PruneVms`]: [`crate::vm::Pruned`].
pub const VMS_PRUNE: &str = "/v1/vms/prune";
/// `GET`: one [`crate::vm::Vm`]; `PATCH` [`crate::vm::SetVm`]: the VM; `DELETE` (`?force=true`): [`crate::vm::Accepted`].
pub const VM: &str = "/v1/vms/{ref}";
/// `POST`: [`crate::vm::Accepted`].
pub const VM_START: &str = "/v1/vms/{ref}/start";
/// `POST` [`crate::vm::StopVm`]: [`crate::vm::Accepted`].
pub const VM_STOP: &str = "/v1/vms/{ref}/stop";
/// `POST` [`crate::vm::StopVm`]: [`crate::vm::Accepted`].
pub const VM_RESTART: &str = "/v1/vms/{ref}/restart";
/// `POST` [`crate::vm::KillVm`]: [`crate::vm::Accepted`].
pub const VM_KILL: &str = "/v1/vms/{ref}/kill";
/// `POST`: [`crate::vm::Accepted`].
pub const VM_SUSPEND: &str = "/v1/vms/{ref}/suspend";
/// `POST`: [`crate::vm::Accepted`].
pub const VM_PAUSE: &str = "/v1/vms/{ref}/pause";
/// `POST`: [`crate::vm::Accepted`].
pub const VM_RESUME: &str = "/v1/vms/{ref}/resume";
/// `GET`: all [`crate::checkpoint::Checkpoint`]s of a VM, the oldest first; `POST` [`crate::checkpoint::CreateCheckpoint`]: [`crate::vm::Accepted`].
pub const VM_CHECKPOINTS: &str = "/v1/vms/{ref}/checkpoints";
/// `DELETE`: [`crate::vm::Accepted`]. `{checkpoint}` is a name, a full id or a unique prefix of an id.
pub const VM_CHECKPOINT: &str = "/v1/vms/{ref}/checkpoints/{checkpoint}";
/// `POST` [`crate::checkpoint::RestoreCheckpoint`]: [`crate::vm::Accepted`].
pub const VM_CHECKPOINT_RESTORE: &str = "/v1/vms/{ref}/checkpoints/{checkpoint}/restore";
/// `POST` [`crate::checkpoint::ForkVm`]: [`crate::vm::Accepted`] with the VMs that are made.
pub const VM_FORK: &str = "/v1/vms/{ref}/fork";
/// `POST` [`crate::image::SaveVm`]: [`crate::vm::Accepted`].
pub const VM_SAVE: &str = "/v1/vms/{ref}/save";
/// `POST` [`crate::vm::Exec`]: upgrade to a stream of exec frames.
pub const VM_EXEC: &str = "/v1/vms/{ref}/exec";
/// `POST` [`crate::vm::Exec`]: [`crate::detached::DetachedCommand`]; `GET`: all of them.
pub const VM_DETACHED: &str = "/v1/vms/{ref}/detached";
/// `POST` (`?id=N&output=true`): upgrade to the guest's frames of an exec stream.
pub const VM_ATTACH: &str = "/v1/vms/{ref}/detached/attach";
/// `POST` (`?path=`): upgrade; the caller sends a tar stream that is unpacked in the guest at `path`.
pub const VM_PUT_FILES: &str = "/v1/vms/{ref}/files/put";
/// `POST` (`?path=`): upgrade; the guest's `path` comes back as a tar stream.
pub const VM_GET_FILES: &str = "/v1/vms/{ref}/files/get";
/// `POST` (`?path=&max_bytes=N`): upgrade; the caller sends the manifest of the files that it once sent to `path`, and
/// the changes there since come back as a tar stream.
pub const VM_CHANGES: &str = "/v1/vms/{ref}/files/changes";
/// `POST` [`crate::files::TreeFiles`]: all [`crate::files::FoundFile`], in the order of the request.
pub const VM_DIGEST_FILES: &str = "/v1/vms/{ref}/files/digest";
/// `POST` [`crate::files::TreeFiles`]: the number of files removed.
pub const VM_REMOVE_FILES: &str = "/v1/vms/{ref}/files/remove";
/// `GET` (`?head=true`: its first line), `PUT`, `DELETE`: a client's record of a workspace that it sent to the VM, in
/// the client's own form. `?key=` selects the workspace: up to 64 hexadecimal digits. Without it: the one of an older
/// client.
pub const VM_WORKSPACE: &str = "/v1/vms/{ref}/workspace";
/// `GET`: all [`crate::files::KeptWorkspace`], the last kept one first.
pub const VM_WORKSPACES: &str = "/v1/vms/{ref}/workspaces";
/// `POST` (`?port=` or `?socket=`): upgrade to the bytes of a TCP or Unix connection in the guest.
pub const VM_CONNECT: &str = "/v1/vms/{ref}/connect";
/// `GET` (`?follow=true&tail=N`): the console log as text.
pub const VM_LOGS: &str = "/v1/vms/{ref}/logs";
/// `GET`: [`crate::vm::VmStats`].
pub const VM_STATS: &str = "/v1/vms/{ref}/stats";
/// `GET`: all [`crate::vm::Port`].
pub const VM_PORTS: &str = "/v1/vms/{ref}/ports";
/// `GET`: [`crate::network::VmNetwork`]; `PATCH` [`crate::network::ChangeNetwork`]: the same.
pub const VM_NETWORK: &str = "/v1/vms/{ref}/network";
/// `POST` [`crate::network::CheckNetwork`]: [`crate::network::NetVerdict`].
pub const VM_NETWORK_CHECK: &str = "/v1/vms/{ref}/network/check";
/// `GET`: the audit log of its network, one JSON line an event.
pub const VM_NETWORK_LOG: &str = "/v1/vms/{ref}/network/log";
/// `GET` (`?after=N`): refusals, one JSON line each, as they happen.
pub const VM_NETWORK_DENIALS: &str = "/v1/vms/{ref}/network/denials";
/// `GET`: [`crate::vm::VmHealth`].
pub const VM_HEALTH: &str = "/v1/vms/{ref}/health";
/// `GET`: all [`crate::image::Image`].
pub const IMAGES: &str = "/v1/images";
/// `POST` [`crate::image::BuildImage`]: [`crate::vm::Accepted`].
pub const IMAGES_BUILD: &str = "/v1/images/build";
/// `POST` [`crate::image::RegisterImage`]: [`crate::vm::Accepted`].
pub const IMAGES_REGISTER: &str = "/v1/images/register";
/// `POST` [`crate::pull::PullImage`]: [`crate::vm::Accepted`].
pub const IMAGES_PULL: &str = "/v1/images/pull";
/// `POST` [`crate::vm::Prune`]: [`crate::image::PrunedImages`].
pub const IMAGES_PRUNE: &str = "/v1/images/prune";
/// `POST` [`crate::vm::Prune`]: [`crate::image::PrunedCache`].
pub const IMAGE_CACHE_PRUNE: &str = "/v1/image-cache/prune";
/// `GET`: one [`crate::image::Image`]; `PATCH` [`crate::image::RenameImage`], `DELETE`:
/// [`crate::vm::Accepted`].
pub const IMAGE: &str = "/v1/images/{ref}";
/// `GET`: the image as an OCI archive.
pub const IMAGE_EXPORT: &str = "/v1/images/{ref}/export";
/// `POST` [`crate::image::ReseedImage`]: [`crate::vm::Accepted`].
pub const IMAGE_RESEED: &str = "/v1/images/{ref}/reseed";
/// `GET`: all [`crate::kernel::Kernel`].
pub const KERNELS: &str = "/v1/kernels";
/// `POST` [`crate::kernel::ImportKernel`]: [`crate::vm::Accepted`].
pub const KERNELS_IMPORT: &str = "/v1/kernels/import";
/// `GET`: one [`crate::kernel::Kernel`]; `DELETE`: [`crate::vm::Accepted`].
pub const KERNEL: &str = "/v1/kernels/{ref}";
/// `GET`: all [`crate::secret::Secret`]s, without their values.
pub const SECRETS: &str = "/v1/secrets";
/// `PUT`, whose body is the value: the [`crate::secret::Secret`]; `DELETE`: the one that was deleted.
pub const SECRET: &str = "/v1/secrets/{name}";
/// `GET`: all [`crate::template::Template`].
pub const TEMPLATES: &str = "/v1/templates";
/// `POST` [`crate::vm::Prune`]: [`crate::template::PrunedTemplates`].
pub const TEMPLATES_PRUNE: &str = "/v1/templates/prune";
/// `GET` (`?vm=REF&limit=N`): the newest [`crate::operation::LoggedOperation`]s, newest first; those of deleted VMs as
/// well.
pub const OPERATIONS: &str = "/v1/operations";
/// `GET`: one [`crate::operation::Operation`].
pub const OPERATION: &str = "/v1/operations/{id}";
/// `GET` (`?cancel_on_disconnect=true`): server-sent [`crate::operation::Event`]s.
pub const OPERATION_EVENTS: &str = "/v1/operations/{id}/events";
/// `POST`: cancel it.
pub const OPERATION_CANCEL: &str = "/v1/operations/{id}/cancel";
/// `GET` (`?after=CURSOR&follow=true&vm=REF&limit=N`): server-sent [`crate::event::SystemEvent`]s, oldest first.
pub const EVENTS: &str = "/v1/events";
/// `GET`: [`crate::system::Resources`].
pub const SYSTEM_RESOURCES: &str = "/v1/system/resources";
/// `POST` [`crate::system::Sweep`]: [`crate::system::Resources`].
pub const SYSTEM_SWEEP: &str = "/v1/system/sweep";

/// `route` with its one variable replaced by `value`, percent-encoded.
///
/// ```
/// use banger_api::routes::{self, fill};
/// assert_eq!(fill(routes::VM_START, "web 1"), "/v1/vms/web%201/start");
/// ```
pub fn fill(route: &str, value: &str) -> String {
    let (head, rest) = route.split_once('{').unwrap_or((route, ""));
    let tail = rest.split_once('}').map_or("", |(_, tail)| tail);
    format!("{head}{}{tail}", encode(value))
}

/// `value` percent-encoded for a path segment or a query value (RFC 3986: all but the unreserved characters).
pub fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
