//! Inventory of everything that banger has made on this host, the owner of each thing, and the sweep of things without
//! an owner, in the API's types.

use std::path::Path;
use std::sync::Arc;

use banger_api::ApiError;
use banger_api::operation::OperationKind;
use banger_api::system::{Resource, Resources};
use banger_engine::VmmIdentity;
use banger_net_control::NetIdentity;
use banger_ops::inventory::{self, Found, Owners};
use banger_ops::plans;
use banger_store::ClaimKind;

use crate::Control;
use crate::operations::{Asked, Running};

fn look(control: &Control) -> Result<(Found, Owners), ApiError> {
    let found = inventory::look(&**control.runner().host(), control.places())?;
    let owners = control.read(Owners::read)?;
    Ok((found, owners))
}

fn directory(path: &Path, owners: &Owners) -> Resource {
    Resource {
        kind: ClaimKind::Directory.as_str().to_owned(),
        id: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        claimed_by: owners.of_directory(path).map(str::to_owned),
        path: Some(path.to_string_lossy().into_owned()),
    }
}

fn process(vmm: &VmmIdentity, owners: &Owners) -> Resource {
    Resource {
        kind: ClaimKind::Process.as_str().to_owned(),
        id: vmm.pid.to_string(),
        path: Some(vmm.dir().to_string_lossy().into_owned()),
        claimed_by: owners.of_vmm(vmm).map(str::to_owned),
    }
}

fn net(net: &NetIdentity, owners: &Owners) -> Resource {
    Resource {
        kind: ClaimKind::Process.as_str().to_owned(),
        id: net.pid.to_string(),
        path: Some(net.dir.to_string_lossy().into_owned()),
        claimed_by: owners.of_net(net).map(str::to_owned),
    }
}

/// Everything, claimed or not.
///
/// # Errors
/// The host cannot be inspected, or the store cannot be read.
pub fn resources(control: &Control) -> Result<Resources, ApiError> {
    let (found, owners) = look(control)?;
    let mut resources: Vec<Resource> = found
        .directories
        .iter()
        .map(|path| directory(path, &owners))
        .collect();
    resources.extend(found.vmms.iter().map(|vmm| process(vmm, &owners)));
    resources.extend(found.nets.iter().map(|one| net(one, &owners)));
    let ports = owners
        .claims()
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

/// Lists the things that nothing claims, and removes them in an operation, unless it is a dry run.
///
/// # Errors
/// As [`resources`].
pub fn sweep(
    control: &Control,
    dry_run: bool,
) -> Result<(Resources, Option<Arc<Running>>), ApiError> {
    let (found, owners) = look(control)?;
    let unclaimed = owners.unclaimed(found);
    let resources = unclaimed
        .vmms
        .iter()
        .map(|vmm| process(vmm, &owners))
        .chain(unclaimed.nets.iter().map(|one| net(one, &owners)))
        .chain(
            unclaimed
                .directories
                .iter()
                .map(|path| directory(path, &owners)),
        )
        .collect();
    if dry_run || unclaimed.is_empty() {
        return Ok((Resources { resources }, None));
    }
    let task = control.clone();
    let asked = Asked::files(OperationKind::Sweep, Vec::new());
    let running = control.operations().spawn(asked, move |op, _locked| {
        task.run(plans::sweep(op.id, unclaimed), op)
    })?;
    Ok((Resources { resources }, Some(running)))
}
