//! Directories of a simulated machine.

use std::path::{Path, PathBuf};

use banger_api::{ContentDigest, LayerId, VmId};
use banger_ops::{LayerFiles, VmFiles};
use banger_store::VmRecord;

/// Directory of frozen layers of disks.
pub(crate) const LAYERS: &str = "/s/layers";
/// Directory of templates.
pub(crate) const TEMPLATES: &str = "/s/templates";

pub(crate) fn vm_dir(id: VmId) -> PathBuf {
    Path::new("/s/vms").join(id.to_string())
}

pub(crate) fn files(id: VmId) -> VmFiles {
    crate::daemon::places().vm(id)
}

pub(crate) fn work_disk(id: VmId) -> PathBuf {
    files(id).work_disk()
}

/// The two names that a work disk may have.
pub(crate) fn work_disks(id: VmId) -> [PathBuf; 2] {
    let first = files(id);
    [first.work_disk(), first.other().work_disk()]
}

/// The files of a VM, by its record.
pub(crate) fn files_of(vm: &VmRecord) -> VmFiles {
    crate::daemon::places().vm_of(vm)
}

/// The files of a frozen layer.
pub(crate) fn layer(id: LayerId) -> LayerFiles {
    crate::daemon::places().layer(id)
}

pub(crate) fn image_dir(digest: &ContentDigest) -> PathBuf {
    Path::new("/s/images").join(digest.to_string())
}

pub(crate) fn kernel_dir(digest: &ContentDigest) -> PathBuf {
    Path::new("/s/kernels").join(digest.to_string())
}
