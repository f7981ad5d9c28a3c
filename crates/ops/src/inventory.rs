//! Inventory of banger's places on this host, with owners.
//!
//! ```text
//! look at the host first ─► read the store after: what is being made just now is claimed before it exists,
//!                           so it can never be taken for a leftover
//!        └─► unclaimed ─► a sweep's plan claims it before it touches it: whoever was quicker keeps it
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use banger_engine::VmmIdentity;
use banger_net_control::NetIdentity;
use banger_store::{
    Claim, ClaimKind, Connection, Owner, StoreError, UnreadableClaim, claim, image, kernel, layer,
    vm,
};

use crate::own::{OwnDir, stored};
use crate::{Host, HostResult, Places};

/// Things that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Entries of the places, sorted.
    pub directories: Vec<OwnDir>,
    /// VMMs of banger's that run.
    pub vmms: Vec<VmmIdentity>,
    /// Network processes of banger's that run.
    pub nets: Vec<NetIdentity>,
}

impl Found {
    /// Tells whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.vmms.is_empty() && self.nets.is_empty()
    }
}

/// Looks at the host. The store must be read after this, not before.
///
/// # Errors
/// When a place cannot be read.
pub fn look(host: &dyn Host, places: &Places) -> HostResult<Found> {
    let mut directories = Vec::new();
    for parent in places.all() {
        let names = host.list_dir(parent)?;
        let entry = |path: &PathBuf| OwnDir::entry(parent, path.file_name()?).ok();
        directories.extend(names.iter().filter_map(entry));
    }
    directories.sort();
    let run = &places.parents().run_vms;
    Ok(Found {
        directories,
        vmms: host.list_vmms(run)?,
        nets: host.list_nets(run)?,
    })
}

/// Owners as the store has them.
#[derive(Debug)]
pub struct Owners {
    claims: Vec<(Claim, String)>,
    /// Claims of a kind that is not known: their resources have an owner all the same.
    unreadable: Vec<UnreadableClaim>,
    /// Names of directories of VMs, layers, images and kernels that have a row, with their owner. A claim has the path at which
    /// a thing was made; a state directory that was moved since, or copied, still has its rows, and nothing of it may
    /// go.
    rows: HashMap<String, String>,
}

impl Owners {
    /// Reads all claims and rows.
    ///
    /// # Errors
    /// The store's.
    pub fn read(db: &Connection) -> Result<Self, StoreError> {
        let vms = vm::list(db)?
            .into_iter()
            .map(|vm| (vm.id.to_string(), Owner::Vm(vm.id)));
        let images = image::list(db)?
            .into_iter()
            .map(|image| (image.digest.to_string(), Owner::Image(image.digest)));
        let kernels = kernel::list(db)?
            .into_iter()
            .map(|kernel| (kernel.digest.to_string(), Owner::Kernel(kernel.digest)));
        let rows = vms.chain(images).chain(kernels);
        let mut rows: HashMap<String, String> = rows
            .map(|(name, owner)| (name, owner.to_string()))
            .collect();
        rows.extend(layer::used(db)?);
        Ok(Self {
            claims: claim::list(db)?,
            unreadable: claim::unreadable(db)?,
            rows,
        })
    }

    /// Every claim, with its owner's name.
    pub fn claims(&self) -> &[(Claim, String)] {
        &self.claims
    }

    /// Returns the owner of a directory.
    pub fn of_directory(&self, path: &Path) -> Option<&str> {
        let row = || self.rows.get(path.file_name()?.to_str()?);
        let claimed = self.of(ClaimKind::Directory, &stored(path));
        claimed
            // As older builds wrote a path that is no text: for it this says more than enough.
            .or_else(|| self.of(ClaimKind::Directory, &path.to_string_lossy()))
            .or_else(|| row().map(String::as_str))
    }

    /// Returns the owner of a VMM.
    pub fn of_vmm(&self, vmm: &VmmIdentity) -> Option<&str> {
        self.of(ClaimKind::Process, vmm.launch_token.as_str())
    }

    /// Returns the owner of a network process.
    pub fn of_net(&self, net: &NetIdentity) -> Option<&str> {
        self.of(ClaimKind::Process, &net.token)
    }

    /// Returns the part that nobody owns.
    pub fn unclaimed(&self, mut found: Found) -> Found {
        found.vmms.retain(|vmm| self.of_vmm(vmm).is_none());
        found.nets.retain(|net| self.of_net(net).is_none());
        found
            .directories
            .retain(|path| self.of_directory(path).is_none());
        found
    }

    fn of(&self, kind: ClaimKind, resource: &str) -> Option<&str> {
        let same = |claim: &Claim| claim.kind == kind && claim.resource == resource;
        self.claims
            .iter()
            .find(|(claim, _)| same(claim))
            .map(|(_, owner)| owner.as_str())
            .or_else(|| {
                let unreadable = self.unreadable.iter();
                unreadable
                    .filter(|claim| claim.resource == resource)
                    .map(|claim| claim.owner.as_str())
                    .next()
            })
    }
}
