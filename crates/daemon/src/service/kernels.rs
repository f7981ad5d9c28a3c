//! Kernels: importing, listing, deleting.

use std::path::Path;
use std::sync::Arc;

use banger_api::kernel::{ImportKernel, Kernel, KernelSource};
use banger_api::vm::Accepted;
use banger_api::{ApiError, ErrorCode, KernelName};
use banger_ops::plans::{self, DeleteFiles, PublishKernel};
use banger_store::{KernelRecord, VmRecord, kernel, vm};

use super::find_kernel;
use super::images::in_use;
use crate::context::Daemon;
use crate::operations::{Running, now_ms, timestamp};

/// Name of the kernel that banger fetches when there is none.
const DEFAULT_NAME: &str = "debian-cloud";

/// All kernels.
///
/// # Errors
/// Only the store's.
pub(crate) fn kernels(daemon: &Daemon) -> Result<Vec<Kernel>, ApiError> {
    let vms = daemon.read(vm::list)?;
    let all = daemon.read(kernel::list)?;
    Ok(all.iter().map(|record| view(record, &all, &vms)).collect())
}

/// One kernel as users see it.
///
/// # Errors
/// Only the store's.
pub(crate) fn kernel_view(daemon: &Daemon, record: &KernelRecord) -> Result<Kernel, ApiError> {
    Ok(view(
        record,
        &daemon.read(kernel::list)?,
        &daemon.read(vm::list)?,
    ))
}

fn view(record: &KernelRecord, all: &[KernelRecord], vms: &[VmRecord]) -> Kernel {
    Kernel {
        name: record.name.clone(),
        version: record.version.clone(),
        digest: format!("sha256:{}", record.digest),
        source: record.source.clone(),
        image_bytes: record.image_bytes,
        modules: record.modules.clone(),
        used_by: vms
            .iter()
            .filter(|vm| vm.kernel_digest == record.digest)
            .count() as u64,
        default: default_of(all).is_some_and(|default| default.name == record.name),
        created_at: timestamp(record.created_ms),
    }
}

/// The kernel for VMs that name none: the one that banger fetched, else the oldest.
fn default_of(all: &[KernelRecord]) -> Option<&KernelRecord> {
    let fetched = all
        .iter()
        .find(|kernel| kernel.name.as_str() == DEFAULT_NAME);
    fetched.or_else(|| all.iter().min_by_key(|kernel| kernel.created_ms))
}

/// The kernel that a request asks for; `None`: the default one, which is not there yet.
///
/// # Errors
/// `not_found`.
pub(super) fn wanted(
    daemon: &Daemon,
    name: Option<&KernelName>,
) -> Result<Option<KernelRecord>, ApiError> {
    match name {
        Some(name) => find_kernel(daemon, name.as_str()).map(Some),
        None => Ok(default_of(&daemon.read(kernel::list)?).cloned()),
    }
}

/// The name that a VM of this kernel gets.
///
/// # Errors
/// None in practice: the built-in name is valid.
pub(super) fn name_of(kernel: Option<&KernelRecord>) -> Result<KernelName, ApiError> {
    match kernel {
        Some(kernel) => Ok(kernel.name.clone()),
        None => DEFAULT_NAME
            .parse()
            .map_err(|error| ApiError::new(ErrorCode::Internal, format!("{error}"))),
    }
}

/// The kernel of this name; the default one is fetched when it is not there. Blocks.
///
/// # Errors
/// Those of fetching it.
pub(super) fn ensure(
    daemon: &Daemon,
    op: &Arc<Running>,
    name: &KernelName,
) -> Result<KernelRecord, ApiError> {
    let there = || daemon.read(|db| kernel::by_name(db, name.as_str()));
    if let Some(record) = there()? {
        return Ok(record);
    }
    if name.as_str() != DEFAULT_NAME {
        return find_kernel(daemon, name.as_str());
    }
    let _making = daemon.locks.name(&format!("kernel:{name}"), &op.cancel)?;
    match there()? {
        Some(record) => Ok(record),
        None => make(daemon, op, Some(name.clone()), KernelSource::Default),
    }
}

/// Imports a kernel.
///
/// # Errors
/// `invalid_argument` for a path that is not absolute or not there; `name_taken`.
pub(crate) fn import_kernel(daemon: &Daemon, request: ImportKernel) -> Result<Accepted, ApiError> {
    check_paths(&request.source)?;
    let fetched = || DEFAULT_NAME.parse().ok();
    let name = request.name.or_else(|| match request.source {
        KernelSource::Default => fetched(),
        _ => None,
    });
    if let Some(name) = &name {
        free(daemon, name)?;
    }
    let task = daemon.clone();
    let running = daemon.operations.spawn("import_kernel", None, move |op| {
        let key = name
            .as_ref()
            .map_or_else(|| op.id.to_string(), ToString::to_string);
        let _making = task.locks.name(&format!("kernel:{key}"), &op.cancel)?;
        if let Some(name) = &name {
            free(&task, name)?;
        }
        make(&task, op, name, request.source).map(|_record| ())
    })?;
    Ok(running.accepted(None))
}

fn check_paths(source: &KernelSource) -> Result<(), ApiError> {
    let paths = match source {
        KernelSource::Deb { path } | KernelSource::Dir { path } => vec![path],
        KernelSource::Image { path, modules } => std::iter::once(path).chain(modules).collect(),
        KernelSource::Host | KernelSource::Default => Vec::new(),
    };
    for path in paths {
        let why = match Path::new(path) {
            path if !path.is_absolute() => "must be an absolute path",
            path if !path.exists() => "does not exist, or this user cannot see it",
            _ => continue,
        };
        return Err(ApiError::new(
            ErrorCode::InvalidArgument,
            format!("\"{path}\" {why}"),
        ));
    }
    Ok(())
}

fn free(daemon: &Daemon, name: &KernelName) -> Result<(), ApiError> {
    match daemon.read(|db| kernel::by_name(db, name.as_str()))? {
        None => Ok(()),
        Some(_) => Err(ApiError::new(
            ErrorCode::NameTaken,
            format!("kernel name \"{name}\" is taken"),
        )
        .hint(format!(
            "choose another name, or delete the kernel: banger kernel delete {name}"
        ))),
    }
}

/// Two plans, as for an image.
fn make(
    daemon: &Daemon,
    op: &Arc<Running>,
    name: Option<KernelName>,
    source: KernelSource,
) -> Result<KernelRecord, ApiError> {
    let staging = daemon.paths.staging().join(op.id.to_string() + "-kernel");
    daemon.runner.run(
        &plans::make_kernel(op.id, source, staging.clone()),
        &**op,
        &op.cancel,
    )?;
    let published = publish(daemon, op, name, &staging);
    if published.is_err() {
        daemon.runner.discard(op.id, staging, &**op);
    }
    published
}

/// Gives what was made its place and name. Another operation may be taking or giving up the same content meanwhile.
fn publish(
    daemon: &Daemon,
    op: &Arc<Running>,
    name: Option<KernelName>,
    staging: &Path,
) -> Result<KernelRecord, ApiError> {
    let facts = daemon.runner.host().kernel_facts(staging)?;
    let name = match name {
        Some(name) => name,
        None => facts
            .version
            .to_ascii_lowercase()
            .parse()
            .map_err(|error| {
                ApiError::new(ErrorCode::InvalidArgument, format!("{error}"))
                    .hint("name it with --name")
            })?,
    };
    let record = KernelRecord {
        name,
        digest: facts.digest,
        source: facts.source,
        version: facts.version,
        image_bytes: facts.image_bytes,
        modules: facts.modules,
        created_ms: now_ms(),
    };
    let _publishing = daemon
        .locks
        .name(&format!("kernel-files:{}", record.digest), &op.cancel)?;
    let target = daemon.paths.kernels().join(&record.digest);
    let exists = daemon.read(|db| kernel::is_named(db, &record.digest))?;
    let to = PublishKernel {
        staging: staging.to_owned(),
        target,
        exists,
    };
    daemon.runner.run(
        &plans::publish_kernel(op.id, record.clone(), to),
        &**op,
        &op.cancel,
    )?;
    Ok(record)
}

/// Removes a kernel, unless VMs boot it.
///
/// # Errors
/// `not_found`; `in_use` with the VMs.
pub(crate) fn delete_kernel(daemon: &Daemon, name: &str) -> Result<Accepted, ApiError> {
    let record = find_kernel(daemon, name)?;
    unused(daemon, &record)?;
    let task = daemon.clone();
    let running = daemon.operations.spawn("delete_kernel", None, move |op| {
        let _files = task
            .locks
            .name(&format!("kernel-files:{}", record.digest), &op.cancel)?;
        unused(&task, &record)?;
        let same =
            |other: &KernelRecord| other.digest == record.digest && other.name != record.name;
        let shared = task.read(kernel::list)?.iter().any(same);
        let directory = (!shared).then(|| task.paths.kernels().join(&record.digest));
        task.runner.run(
            &plans::delete_kernel(op.id, &record, DeleteFiles { directory }),
            &**op,
            &op.cancel,
        )
    })?;
    Ok(running.accepted(None))
}

fn unused(daemon: &Daemon, record: &KernelRecord) -> Result<(), ApiError> {
    let vms = daemon.read(vm::list)?;
    let users: Vec<&str> = vms
        .iter()
        .filter(|vm| vm.kernel_digest == record.digest)
        .map(|vm| vm.name.as_str())
        .collect();
    in_use("kernel", record.name.as_str(), &users)
}
