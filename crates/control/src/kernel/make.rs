//! Importing and removing kernels.

use std::path::Path;
use std::sync::Arc;

use banger_api::kernel::{ImportKernel, KernelChoice, KernelSource};
use banger_api::operation::OperationKind;
use banger_api::vm::Accepted;
use banger_api::{ApiError, ErrorCode, KernelName, VmName};
use banger_ops::{OwnDir, plans};
use banger_store::{KernelRecord, kernel};

use crate::artifact::{self, Artifact, existing};
use crate::locks::Key;
use crate::operations::{Asked, Locked, Running};
use crate::{Control, find_kernel};

/// Name of the kernel that banger fetches when there is none.
const DEFAULT_NAME: &str = "debian-cloud";

/// The lock of making a kernel of this name.
pub(crate) fn making(name: &KernelName) -> Key {
    KernelRecord::making(name.as_str())
}

/// The kernel for VMs that name none: the one that banger fetched, else the oldest.
pub(super) fn default_of(all: &[KernelRecord]) -> Option<&KernelRecord> {
    let is_usable = |kernel: &&KernelRecord| kernel.damage.is_none() && !kernel.of_root;
    let usable = || all.iter().filter(is_usable);
    let fetched = usable().find(|kernel| kernel.name.as_str() == DEFAULT_NAME);
    fetched.or_else(|| usable().min_by_key(|kernel| kernel.created_ms))
}

/// The kernel that a request asks for; `None`: the default one, which is not there yet.
///
/// # Errors
/// `not_found`.
pub(crate) fn wanted(
    control: &Control,
    name: Option<&KernelName>,
) -> Result<Option<KernelRecord>, ApiError> {
    match name {
        Some(name) => {
            let record = find_kernel(control, name.as_str())?;
            artifact::usable(control, record).map(Some)
        }
        None => {
            let default = default_of(&control.read(kernel::list)?).cloned();
            default
                .map(|record| artifact::usable(control, record))
                .transpose()
        }
    }
}

/// The name that a VM of this kernel gets.
///
/// # Errors
/// None in practice: the built-in name is valid.
pub(crate) fn name_of(kernel: Option<&KernelRecord>) -> Result<KernelName, ApiError> {
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
pub(crate) fn ensure(
    control: &Control,
    op: &Arc<Running>,
    name: &KernelName,
    locked: &Locked,
) -> Result<KernelRecord, ApiError> {
    if name.as_str() != DEFAULT_NAME {
        return find_kernel(control, name.as_str());
    }
    artifact::ensure(control, op, name.as_str(), locked, || {
        let fetched = Wanted {
            source: KernelSource::Default,
            all_modules: false,
        };
        make(control, op, Some(name.clone()), fetched)
    })
}

/// Imports a kernel.
///
/// # Errors
/// `invalid_argument` for a path that is not absolute or not there; `name_taken`.
pub fn import(control: &Control, request: ImportKernel) -> Result<Accepted, ApiError> {
    check_paths(control, &request.source)?;
    let fetched = || DEFAULT_NAME.parse().ok();
    let wanted = Wanted {
        source: request.source,
        all_modules: request.all_modules,
    };
    let name = request.name.or_else(|| match wanted.source {
        KernelSource::Default => fetched(),
        _ => None,
    });
    if let Some(name) = &name {
        if name.as_str() == KernelChoice::IMAGE {
            let message = format!(
                "a kernel cannot be called \"{name}\": --kernel {name} means the one in a VM's own root"
            );
            return Err(ApiError::new(ErrorCode::InvalidArgument, message));
        }
        artifact::free::<KernelRecord>(control, name.as_str())?;
    }
    // A kernel without a name gets its version as its name, which is known only when it is made.
    let asked = Asked::files(
        OperationKind::ImportKernel,
        name.iter().map(making).collect(),
    );
    let task = control.clone();
    let running = control.operations().spawn(asked, move |op, _locked| {
        if let Some(name) = &name {
            artifact::free::<KernelRecord>(&task, name.as_str())?;
        }
        make(&task, op, name, wanted).map(|_record| ())
    })?;
    Ok(running.accepted(None))
}

fn check_paths(control: &Control, source: &KernelSource) -> Result<(), ApiError> {
    let paths = match source {
        KernelSource::Deb { path } | KernelSource::Dir { path } => vec![path],
        KernelSource::Image { path, modules } => std::iter::once(path).chain(modules).collect(),
        KernelSource::Host | KernelSource::Default => Vec::new(),
    };
    for path in paths {
        existing(control, "kernel", path)?;
    }
    Ok(())
}

/// A kernel that is to be made.
struct Wanted {
    source: KernelSource,
    all_modules: bool,
}

/// Two plans, as for an image.
fn make(
    control: &Control,
    op: &Arc<Running>,
    name: Option<KernelName>,
    wanted: Wanted,
) -> Result<KernelRecord, ApiError> {
    let staging = control.places().making(op.id, "kernel");
    let Wanted {
        source,
        all_modules,
    } = wanted;
    let plan = plans::make_kernel(op.id, source, all_modules, staging.clone());
    control.run(plan, op)?;
    let published = made_record(control, name, &staging).and_then(|record| {
        artifact::publish(control, op, &record, &staging)?;
        Ok(record)
    });
    if published.is_err() {
        control.runner().discard(op.id, staging, &**op);
    }
    published
}

/// Publishes the kernel that was taken from the root of a VM. The same one may be there already, under any name.
pub(crate) fn publish_of_root(
    control: &Control,
    op: &Arc<Running>,
    vm: &VmName,
    staging: OwnDir,
) -> Result<KernelRecord, ApiError> {
    let published = name_of_root(control, vm, &staging).and_then(|(record, is_new)| {
        if is_new {
            artifact::publish(control, op, &record, &staging)?;
        }
        Ok((record, is_new))
    });
    if !matches!(published, Ok((_, true))) {
        control.runner().discard(op.id, staging, &**op);
    }
    published.map(|(record, _)| record)
}

/// The record of what was taken, and whether it is a new one. Its name is its version, with digits of its digest where another
/// kernel has that name.
fn name_of_root(
    control: &Control,
    vm: &VmName,
    staging: &Path,
) -> Result<(KernelRecord, bool), ApiError> {
    let mut record = made_record(control, None, staging)?;
    record.source = format!("the root of VM {vm}");
    record.of_root = true;
    let all = control.read(kernel::list)?;
    let same = |known: &&KernelRecord| known.damage.is_none() && known.digest == record.digest;
    if let Some(known) = all.iter().find(same) {
        return Ok((known.clone(), false));
    }
    if all.iter().any(|known| known.name == record.name) {
        let short: String = record.digest.to_string().chars().take(8).collect();
        record.name = format!("{}-{short}", record.name)
            .parse()
            .map_err(|error| ApiError::new(ErrorCode::Internal, format!("{error}")))?;
    }
    Ok((record, true))
}

/// Record of the files in `staging`, under their name.
fn made_record(
    control: &Control,
    name: Option<KernelName>,
    staging: &Path,
) -> Result<KernelRecord, ApiError> {
    let facts = control.runner().host().kernel_facts(staging)?;
    let of_version = || facts.version.to_ascii_lowercase().parse();
    let name = name.map_or_else(of_version, Ok).map_err(|error| {
        ApiError::new(ErrorCode::InvalidArgument, format!("{error}")).hint("name it with --name")
    })?;
    Ok(KernelRecord {
        name,
        digest: facts.digest,
        source: facts.source,
        version: facts.version,
        image_bytes: facts.image_bytes,
        modules: facts.modules,
        of_root: false,
        created_ms: control.now_ms(),
        damage: None,
    })
}

/// Removes a kernel, unless VMs boot it.
///
/// # Errors
/// `not_found`; `in_use` with the VMs.
pub fn delete(control: &Control, name: &str) -> Result<Accepted, ApiError> {
    artifact::delete(control, find_kernel(control, name)?)
}
