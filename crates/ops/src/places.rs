//! Places of VMs, images, kernels and templates.

use std::path::{Path, PathBuf};

use banger_api::{ContentDigest, LayerId, OperationId, VmId};
use banger_store::{DiskNames, VmRecord};

use crate::own::OwnDir;
use crate::{LayerFiles, NotOwn, VmFiles};

/// The directories in which banger keeps things. Every entry of them is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places(Parents);

/// The paths of [`Places`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parents {
    /// Directories of VMs, by id.
    pub vms: PathBuf,
    /// Run directories of VMs, by id: need not survive a reboot.
    pub run_vms: PathBuf,
    /// Directories of images, by digest.
    pub images: PathBuf,
    /// Directories of kernels, by digest.
    pub kernels: PathBuf,
    /// Directories of frozen layers of disks, by id. On one file system with `vms`.
    pub layers: PathBuf,
    /// Directories of templates, by key. On one file system with `staging` and `vms`.
    pub templates: PathBuf,
    /// Directory in which images and kernels are made before they get their place. On one file system with them.
    pub staging: PathBuf,
}

impl Places {
    /// Places at these paths.
    ///
    /// # Errors
    /// One of them is not absolute, ends in a way back (`..`), or is the root of the file system.
    pub fn new(parents: Parents) -> Result<Self, NotOwn> {
        let places = Self(parents);
        for parent in places.all() {
            OwnDir::entry(parent, "x")?;
        }
        Ok(places)
    }

    /// The files of a new VM. Of one that has been there the record knows the disks: [`vm_of`](Self::vm_of).
    pub fn vm(&self, id: VmId) -> VmFiles {
        VmFiles {
            state: OwnDir::named(&self.0.vms, id),
            run: OwnDir::named(&self.0.run_vms, id),
            names: DiskNames::default(),
        }
    }

    /// The files of a VM.
    pub fn vm_of(&self, vm: &VmRecord) -> VmFiles {
        VmFiles {
            names: vm.disks.names,
            ..self.vm(vm.id)
        }
    }

    /// The files of a frozen layer.
    pub fn layer(&self, id: LayerId) -> LayerFiles {
        LayerFiles {
            id,
            dir: OwnDir::named(&self.0.layers, id),
        }
    }

    /// The directory of an image's files.
    pub fn image(&self, digest: &ContentDigest) -> OwnDir {
        OwnDir::named(&self.0.images, digest)
    }

    /// The directory of a kernel's files.
    pub fn kernel(&self, digest: &ContentDigest) -> OwnDir {
        OwnDir::named(&self.0.kernels, digest)
    }

    /// The directory of a template's files.
    pub fn template(&self, key: &ContentDigest) -> OwnDir {
        OwnDir::named(&self.0.templates, key)
    }

    /// The directory in which an operation makes one thing, as `image` or `kernel`.
    pub fn making(&self, operation: OperationId, thing: &'static str) -> OwnDir {
        OwnDir::named(&self.0.staging, format!("{operation}-{thing}"))
    }

    /// Each path by its name.
    pub fn parents(&self) -> &Parents {
        &self.0
    }

    /// All of them: every entry there is banger's.
    pub fn all(&self) -> [&Path; 7] {
        let parents = &self.0;
        [
            &parents.vms,
            &parents.run_vms,
            &parents.images,
            &parents.kernels,
            &parents.layers,
            &parents.templates,
            &parents.staging,
        ]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may stop at the first surprise
mod tests {
    use super::*;

    fn places(vms: &str) -> Result<Places, NotOwn> {
        Places::new(Parents {
            vms: vms.into(),
            run_vms: "/r".into(),
            images: "/s/images".into(),
            kernels: "/s/kernels".into(),
            layers: "/s/layers".into(),
            templates: "/s/templates".into(),
            staging: "/s/staging".into(),
        })
    }

    #[test]
    fn places_that_are_not_absolute_are_none() {
        for vms in ["", "vms", "/", "/s/.."] {
            assert!(places(vms).is_err(), "{vms}");
        }
    }
}
