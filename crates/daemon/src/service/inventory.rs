//! What banger has made on this host, who claims it, and the sweep of what nobody does.
//!
//! ```text
//! look at the host first, read the claims after: what is being made just now is claimed before it exists,
//! so it can never be taken for a leftover
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_api::ApiError;
use banger_api::system::{Resource, Resources};
use banger_engine::VmmIdentity;
use banger_ops::plans;
use banger_store::{Claim, ClaimKind, Owner, claim, image, kernel, vm};

use crate::context::Daemon;
use crate::failure;
use crate::operations::Running;

/// What was found on the host.
struct Found {
    directories: Vec<PathBuf>,
    vmms: Vec<VmmIdentity>,
}

fn look(daemon: &Daemon) -> Result<Found, ApiError> {
    let paths = &daemon.paths;
    let mut directories = Vec::new();
    for parent in [
        paths.vms(),
        paths.run_vms(),
        paths.images(),
        paths.kernels(),
        paths.staging(),
    ] {
        directories.extend(daemon.runner.host().list_dir(&parent)?);
    }
    directories.sort();
    let vmms = daemon
        .engine
        .list(&paths.run_vms())
        .map_err(|error| failure::of_engine(&error))?;
    Ok(Found { directories, vmms })
}

/// What the store says of owners.
struct Owners {
    claims: Vec<(Claim, String)>,
    /// Names of directories of VMs, images and kernels that have a row, with their owner. A claim has the path at which a
    /// thing was made; a state directory that was moved since, or copied, still has its rows, and nothing of it may go.
    rows: HashMap<String, String>,
}

impl Owners {
    fn read(daemon: &Daemon) -> Result<Self, ApiError> {
        daemon.read(|db| {
            let vms = vm::list(db)?
                .into_iter()
                .map(|vm| (vm.id.to_string(), Owner::Vm(vm.id)));
            let images = image::list(db)?
                .into_iter()
                .map(|image| (image.digest.clone(), Owner::Image(image.digest)));
            let kernels = kernel::list(db)?
                .into_iter()
                .map(|kernel| (kernel.digest.clone(), Owner::Kernel(kernel.digest)));
            let rows = vms.chain(images).chain(kernels);
            let rows = rows
                .map(|(name, owner)| (name, owner.to_string()))
                .collect();
            Ok(Self {
                claims: claim::list(db)?,
                rows,
            })
        })
    }

    fn of(&self, kind: ClaimKind, resource: &str) -> Option<String> {
        let same = |claim: &Claim| claim.kind == kind && claim.resource == resource;
        self.claims
            .iter()
            .find(|(claim, _)| same(claim))
            .map(|(_, owner)| owner.clone())
    }

    fn of_directory(&self, path: &Path) -> Option<String> {
        let row = || self.rows.get(path.file_name()?.to_str()?).cloned();
        self.of(ClaimKind::Directory, &path.to_string_lossy())
            .or_else(row)
    }
}

fn directory(path: &Path, owners: &Owners) -> Resource {
    let text = path.to_string_lossy();
    Resource {
        kind: ClaimKind::Directory.as_str().to_owned(),
        id: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        claimed_by: owners.of_directory(path),
        path: Some(text.into_owned()),
    }
}

fn process(vmm: &VmmIdentity, owners: &Owners) -> Resource {
    Resource {
        kind: ClaimKind::Vmm.as_str().to_owned(),
        id: vmm.pid.to_string(),
        path: Some(vmm.dir().to_string_lossy().into_owned()),
        claimed_by: owners.of(ClaimKind::Vmm, &vmm.launch_token),
    }
}

/// Everything, claimed or not.
///
/// # Errors
/// When the host cannot be looked at, or the store not read.
pub(crate) fn resources(daemon: &Daemon) -> Result<Resources, ApiError> {
    let found = look(daemon)?;
    let owners = Owners::read(daemon)?;
    let mut resources: Vec<Resource> = found
        .directories
        .iter()
        .map(|path| directory(path, &owners))
        .collect();
    resources.extend(found.vmms.iter().map(|vmm| process(vmm, &owners)));
    let ports = owners
        .claims
        .iter()
        .filter(|(claim, _)| claim.kind == ClaimKind::HostPort);
    resources.extend(ports.map(|(claim, owner)| Resource {
        kind: ClaimKind::HostPort.as_str().to_owned(),
        id: claim.resource.clone(),
        path: None,
        claimed_by: Some(owner.clone()),
    }));
    Ok(Resources { resources })
}

/// Removes what nothing claims, and says what that is (or would be). The operation does the removing.
///
/// # Errors
/// As [`resources`].
pub(crate) fn sweep(
    daemon: &Daemon,
    dry_run: bool,
) -> Result<(Resources, Option<Arc<Running>>), ApiError> {
    let found = look(daemon)?;
    let owners = Owners::read(daemon)?;
    let unclaimed = |resource: &Resource| resource.claimed_by.is_none();
    let vmms: Vec<VmmIdentity> = found
        .vmms
        .into_iter()
        .filter(|vmm| unclaimed(&process(vmm, &owners)))
        .collect();
    let directories: Vec<PathBuf> = found
        .directories
        .into_iter()
        .filter(|path| unclaimed(&directory(path, &owners)))
        .collect();
    let resources = vmms
        .iter()
        .map(|vmm| process(vmm, &owners))
        .chain(directories.iter().map(|path| directory(path, &owners)))
        .collect::<Vec<_>>();
    if dry_run || resources.is_empty() {
        return Ok((Resources { resources }, None));
    }
    let task = daemon.clone();
    let running = daemon.operations.spawn("sweep", None, move |op| {
        task.runner
            .run(&plans::sweep(op.id, vmms, directories), &**op, &op.cancel)
    })?;
    Ok((Resources { resources }, Some(running)))
}
