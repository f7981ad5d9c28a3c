//! Making the files of images, kernels and keys, in a directory that the plan has claimed.

use std::path::{Path, PathBuf};

use banger_api::VmName;
use banger_api::kernel::KernelSource;
use serde::{Deserialize, Serialize};

use crate::{Change, HostResult, ImageSource, StepBody, StepCx};

/// Makes an image's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeImage {
    /// Origin.
    pub source: ImageSource,
    /// The directory.
    pub into: PathBuf,
}

impl StepBody for MakeImage {
    fn stage(&self) -> &'static str {
        "make_image"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host
            .make_image(&self.source, &self.into, cx.events, cx.cancel)?;
        // Published files are never looked at again: what is not on the disk now would be torn for ever.
        cx.host.sync_tree(&self.into)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        // The directory goes as a whole, by the step that made it.
        Ok(Vec::new())
    }
}

/// Makes a kernel's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeKernel {
    /// Origin.
    pub source: KernelSource,
    /// True when a large kernel keeps all its modules.
    #[serde(default)]
    pub all_modules: bool,
    /// The directory.
    pub into: PathBuf,
}

impl StepBody for MakeKernel {
    fn stage(&self) -> &'static str {
        "make_kernel"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.make_kernel(
            &self.source,
            self.all_modules,
            &self.into,
            cx.events,
            cx.cancel,
        )?;
        cx.host.sync_tree(&self.into)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Makes a kernel's initramfs with this build's agent, once; it belongs to the kernel, whatever becomes of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeInitramfs {
    /// The kernel's directory.
    pub kernel_dir: PathBuf,
    /// The initramfs, in that directory.
    pub path: PathBuf,
}

impl StepBody for MakeInitramfs {
    fn stage(&self) -> &'static str {
        "make_initramfs"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.make_initramfs(&self.kernel_dir, &self.path)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Makes the SSH host key that a VM has for its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeSshHostKey {
    /// Its file.
    pub path: PathBuf,
    /// The VM's name, for the key's comment.
    pub vm: VmName,
}

impl StepBody for MakeSshHostKey {
    fn stage(&self) -> &'static str {
        "reserve"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.path]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.make_ssh_host_key(&self.path, &self.vm)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.path)?;
        Ok(Vec::new())
    }
}
