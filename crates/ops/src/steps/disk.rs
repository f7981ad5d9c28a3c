//! A VM's disks.

use std::path::{Path, PathBuf};

use banger_api::VmId;
use banger_engine::VmmIdentity;
use serde::{Deserialize, Serialize};

use crate::{BlankDiskSpec, Change, HostResult, StepBody, StepCx};

/// Makes the system overlay: an empty ext4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeSystemOverlay {
    /// Its file.
    pub path: PathBuf,
    /// Its description.
    pub disk: BlankDiskSpec,
}

impl StepBody for MakeSystemOverlay {
    fn stage(&self) -> &'static str {
        "prepare_system_overlay"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.path]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.make_blank_disk(&self.path, &self.disk)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.path)?;
        Ok(Vec::new())
    }
}

/// Start of a new work disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum WorkDiskSource {
    /// The image's work seed.
    Seed {
        /// Its file.
        path: PathBuf,
        /// Size of its file system in bytes.
        bytes: u64,
    },
    /// Nothing.
    Blank(BlankDiskSpec),
}

/// Makes the work disk of a VM that has none yet. Only in a create plan: an existing work disk is never made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeWorkDisk {
    /// Its file.
    pub path: PathBuf,
    /// Its start.
    pub source: WorkDiskSource,
    /// Its size in bytes: at least the seed's.
    pub bytes: u64,
}

impl StepBody for MakeWorkDisk {
    fn stage(&self) -> &'static str {
        "prepare_work_disk"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.path]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        match &self.source {
            WorkDiskSource::Seed { path, bytes } => {
                cx.events.stage(self.stage(), "cloning work seed");
                let written = cx.host.write_seeded_disk(path, &self.path, self.bytes)?;
                if !written {
                    cx.host.clone_file(path, &self.path)?;
                }
                if self.bytes > *bytes {
                    cx.events.stage(self.stage(), "resizing work disk");
                    // What was written has its size. Of a clone the file grows here, its file system in the guest, by the
                    // guest's kernel.
                    cx.host.grow_file(&self.path, self.bytes)?;
                }
            }
            WorkDiskSource::Blank(disk) => {
                cx.events.stage(self.stage(), "creating empty work disk");
                cx.host.make_blank_disk(&self.path, disk)?;
            }
        }
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.path)?;
        Ok(Vec::new())
    }
}

/// Grows a disk's file to the size that its VM was set to. Growing is never undone: a larger file harms nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowFile {
    /// The file.
    pub path: PathBuf,
    /// Its new size in bytes.
    pub bytes: u64,
}

impl StepBody for GrowFile {
    fn stage(&self) -> &'static str {
        "prepare_work_disk"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.events.stage(self.stage(), "resizing work disk");
        cx.host.grow_file(&self.path, self.bytes)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Shows a running guest that its work disk has become larger. Growing is never undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowRunningDisk {
    /// The VM.
    pub vm: VmId,
    /// Its VMM.
    pub vmm: VmmIdentity,
    /// The disk's file, which has this size already.
    pub path: PathBuf,
    /// Its new size in bytes.
    pub bytes: u64,
}

impl StepBody for GrowRunningDisk {
    fn stage(&self) -> &'static str {
        "grow_running_disk"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host
            .grow_running_disk(self.vm, &self.vmm, &self.path, self.bytes, cx.cancel)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
