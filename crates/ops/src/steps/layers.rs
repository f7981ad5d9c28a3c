//! Disks that are kept as they are, while a VM writes on over them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Change, HostResult, StepBody, StepCx};

/// Gives a disk a second name, in a layer: it is the same file until the VM's own name for it goes. Whoever makes the plan sees to
/// it that nobody writes to it from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeDisk {
    /// The disk.
    pub from: PathBuf,
    /// Its name in the layer.
    pub to: PathBuf,
}

impl StepBody for FreezeDisk {
    fn stage(&self) -> &'static str {
        "freeze_disks"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.to]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.link_file(&self.from, &self.to)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.to)?;
        Ok(Vec::new())
    }
}

/// Makes a disk with nothing in it, which is read as the layers below it until something is written. Only under a name that is not
/// the VM's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeTop {
    /// Its file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

impl StepBody for MakeTop {
    fn stage(&self) -> &'static str {
        "make_tops"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.path]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.make_top(&self.path, self.bytes)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.path)?;
        Ok(Vec::new())
    }
}

/// Copies the records of what a client has sent to the guest, as they are when its disks are: what comes back of a workspace is
/// compared with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyWorkspaces {
    /// Their directory; without one there is none afterwards.
    pub from: PathBuf,
    /// Its copy, in the place of what is there.
    pub to: PathBuf,
}

impl StepBody for CopyWorkspaces {
    fn stage(&self) -> &'static str {
        "copy_records"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.to]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.copy_dir(&self.from, &self.to)?;
        Ok(Vec::new())
    }
    /// Only where it is made anew: it goes with its directory.
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Grows a disk over layers, which nobody has open, to the size that its VM was set to. Growing is never undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowTop {
    /// Its file.
    pub path: PathBuf,
    /// Its new size in bytes; one that is larger stays as it is.
    pub bytes: u64,
}

impl StepBody for GrowTop {
    fn stage(&self) -> &'static str {
        "prepare_work_disk"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.grow_top(&self.path, self.bytes)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
