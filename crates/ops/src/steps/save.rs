//! A VM's root, or the kernel in it, read through a guest that does nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_engine::{Signal, VmmIdentity, VmmSpec};
use banger_store::Claim;
use serde::{Deserialize, Serialize};

use super::claims_of;
use crate::{Change, GuestSetup, HostResult, StepBody, StepCx};

/// Time for a VMM to answer at its control socket.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(30);
/// Time for a killed process to be gone.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Clones a disk. Only a disk that nobody writes to meanwhile: the caller holds its VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneDisk {
    /// The disk.
    pub from: PathBuf,
    /// Its clone.
    pub to: PathBuf,
}

impl StepBody for CloneDisk {
    fn stage(&self) -> &'static str {
        "clone_disks"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.to]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.to)?;
        cx.host.clone_file(&self.from, &self.to)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.to)?;
        Ok(Vec::new())
    }
}

/// A guest over clones of a VM's disks that does nothing but send what it reads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Its VMM.
    pub spec: VmmSpec,
    /// Its configuration; bare.
    pub setup: Box<GuestSetup>,
    /// Time for it to become reachable, in ms.
    pub deadline_ms: u64,
}

impl Reader {
    /// Boots it, has it `read`, and ends it.
    fn run(
        &self,
        stage: &'static str,
        cx: &StepCx<'_>,
        read: impl FnOnce(&VmmIdentity) -> HostResult<()>,
    ) -> HostResult<Vec<Change>> {
        let vmm = cx.host.start_vmm(&self.spec, LAUNCH_DEADLINE)?;
        cx.events.stage(stage, "booting a guest over the disks");
        let deadline = Duration::from_millis(self.deadline_ms);
        cx.host
            .configure_guest(&vmm, &self.setup, deadline, cx.cancel)?;
        cx.events.stage(stage, "");
        read(&vmm)?;
        // Its disks are clones: nobody misses what it has not written.
        cx.host.end_vmm(&vmm, Signal::KILL, END_DEADLINE)?;
        Ok(Vec::new())
    }

    /// Ends it, wherever it stands.
    fn end(&self, cx: &StepCx<'_>) -> HostResult<()> {
        match cx.host.find_vmm(&self.spec.launch_token, &self.spec.dir)? {
            Some(vmm) => cx.host.end_vmm(&vmm, Signal::KILL, END_DEADLINE),
            None => Ok(()),
        }
    }
}

/// Has a reader send the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRoot {
    /// The reader.
    #[serde(flatten)]
    pub reader: Reader,
    /// File of the root, as a tar stream.
    pub to: PathBuf,
}

impl StepBody for ReadRoot {
    fn stage(&self) -> &'static str {
        "read_root"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.to]
    }
    fn claims(&self) -> Vec<Claim> {
        claims_of(&self.reader.spec)
    }
    fn releases(&self) -> Vec<Claim> {
        self.claims()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        self.reader.run(self.stage(), cx, |vmm| {
            let vm = self.reader.setup.vm;
            cx.host.read_root(vm, vmm, &self.to, cx.events, cx.cancel)
        })
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        self.reader.end(cx)?;
        cx.host.remove_file(&self.to)?;
        Ok(Vec::new())
    }
}

/// Has a reader send the kernel of the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadKernel {
    /// The reader.
    #[serde(flatten)]
    pub reader: Reader,
    /// Directory of the kernel's files, in one that the plan has claimed, and that goes as a whole.
    pub into: PathBuf,
}

impl StepBody for ReadKernel {
    fn stage(&self) -> &'static str {
        "read_kernel"
    }
    fn claims(&self) -> Vec<Claim> {
        claims_of(&self.reader.spec)
    }
    fn releases(&self) -> Vec<Claim> {
        self.claims()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        self.reader.run(self.stage(), cx, |vmm| {
            let vm = self.reader.setup.vm;
            cx.host
                .read_kernel(vm, vmm, &self.into, cx.events, cx.cancel)
        })
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        self.reader.end(cx)?;
        Ok(Vec::new())
    }
}
