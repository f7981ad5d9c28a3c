//! Directories of a simulated machine.

use std::path::{Path, PathBuf};

use banger_api::{ContentDigest, VmId};
use banger_ops::VmFiles;

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

pub(crate) fn image_dir(digest: &ContentDigest) -> PathBuf {
    Path::new("/s/images").join(digest.to_string())
}

pub(crate) fn kernel_dir(digest: &ContentDigest) -> PathBuf {
    Path::new("/s/kernels").join(digest.to_string())
}
