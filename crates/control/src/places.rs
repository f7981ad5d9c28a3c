//! Where VMs, images and kernels are.

use std::path::PathBuf;

use banger_api::{ContentDigest, OperationId, VmId};
use banger_ops::{VmFiles, inventory};

/// The directories in which a control plane keeps things. Every entry of them is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Directories of VMs, by id.
    pub vms: PathBuf,
    /// Run directories of VMs, by id: need not survive a reboot.
    pub run_vms: PathBuf,
    /// Directories of images, by digest.
    pub images: PathBuf,
    /// Directories of kernels, by digest.
    pub kernels: PathBuf,
    /// Where images and kernels are made before they get their place. On one file system with them.
    pub staging: PathBuf,
}

impl Places {
    /// The files of one VM.
    pub fn vm(&self, id: VmId) -> VmFiles {
        let id = id.to_string();
        VmFiles {
            state: self.vms.join(&id),
            run: self.run_vms.join(id),
        }
    }

    /// The directory of an image's files.
    pub fn image(&self, digest: &ContentDigest) -> PathBuf {
        self.images.join(digest.to_string())
    }

    /// The directory of a kernel's files.
    pub fn kernel(&self, digest: &ContentDigest) -> PathBuf {
        self.kernels.join(digest.to_string())
    }

    /// The directory in which an operation makes one thing, as `image` or `kernel`.
    pub(crate) fn making(&self, operation: OperationId, thing: &str) -> PathBuf {
        self.staging.join(format!("{operation}-{thing}"))
    }

    /// All of them, for an inventory.
    pub(crate) fn inventory(&self) -> inventory::Places {
        inventory::Places {
            parents: vec![
                self.vms.clone(),
                self.run_vms.clone(),
                self.images.clone(),
                self.kernels.clone(),
                self.staging.clone(),
            ],
            run: self.run_vms.clone(),
        }
    }
}
