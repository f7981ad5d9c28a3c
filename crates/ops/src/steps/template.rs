//! Templates: saving a guest that waits, and trying what was saved.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_engine::{Memory, Signal, VmmSpec};
use banger_store::Claim;
use serde::{Deserialize, Serialize};

use super::claims_of;
use crate::layout::parent;
use crate::{Change, GuestSetup, HostResult, StepBody, StepCx, TemplateFacts, TemplateFiles};

/// Time for a VMM to answer at its control socket.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(30);
/// Time for a VMM to write the state of its guest.
const SAVE_DEADLINE: Duration = Duration::from_secs(30);
/// Time for a killed process to be gone.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Boots a guest, holds it when it waits to be told what it is, and saves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveTemplate {
    /// The VMM. Its memory is that of `to`.
    pub spec: VmmSpec,
    /// The files that are made.
    pub to: TemplateFiles,
    /// Its facts, which are written beside it.
    pub facts: TemplateFacts,
    /// Time for the guest to boot and answer, in ms.
    pub deadline_ms: u64,
}

impl StepBody for SaveTemplate {
    fn stage(&self) -> &'static str {
        "save_template"
    }
    fn claims(&self) -> Vec<Claim> {
        claims_of(&self.spec)
    }
    fn releases(&self) -> Vec<Claim> {
        self.claims()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        let vmm = cx.host.start_vmm(&self.spec, LAUNCH_DEADLINE)?;
        cx.host.give_way(&vmm);
        let deadline = Duration::from_millis(self.deadline_ms);
        cx.host.hold_guest(&vmm, deadline, cx.cancel)?;
        cx.host
            .save_vmm(&vmm, &self.to, &self.facts, SAVE_DEADLINE)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        end_launch(cx, &self.spec)
    }
}

/// Wakes a guest from a template that was made just now, and has it tell who it is. One that cannot is no template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryTemplate {
    /// The VMM. Its memory is a copy of the template's.
    pub spec: VmmSpec,
    /// The template.
    pub from: TemplateFiles,
    /// Configuration of the guest; bare.
    pub setup: Box<GuestSetup>,
    /// Time for it, in ms.
    pub deadline_ms: u64,
}

impl StepBody for TryTemplate {
    fn stage(&self) -> &'static str {
        "try_template"
    }
    fn removes(&self) -> Vec<&Path> {
        self.spec.memory.file().into_iter().collect()
    }
    fn claims(&self) -> Vec<Claim> {
        claims_of(&self.spec)
    }
    fn releases(&self) -> Vec<Claim> {
        self.claims()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        if let Some(copy) = self.spec.memory.file() {
            cx.host.remove_file(copy)?;
            cx.host.clone_file(&self.from.memory(), copy)?;
        }
        let vmm = cx.host.start_vmm(&self.spec, LAUNCH_DEADLINE)?;
        cx.host.give_way(&vmm);
        let deadline = Duration::from_millis(self.deadline_ms);
        cx.host
            .configure_guest(&vmm, &self.setup, deadline, cx.cancel)?;
        // Its disks are made for this alone: nobody misses what it has not written.
        cx.host.end_vmm(&vmm, Signal::KILL, END_DEADLINE)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        end_launch(cx, &self.spec)
    }
}

fn end_launch(cx: &StepCx<'_>, spec: &VmmSpec) -> HostResult<Vec<Change>> {
    if let Some(vmm) = cx.host.find_vmm(&spec.launch_token, &spec.dir)? {
        cx.host.end_vmm(&vmm, Signal::KILL, END_DEADLINE)?;
    }
    Ok(Vec::new())
}

/// Copies the memory of a template for the VMM that is started next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMemory {
    /// The template.
    pub from: TemplateFiles,
    /// The copy.
    pub to: PathBuf,
}

impl StepBody for CopyMemory {
    fn stage(&self) -> &'static str {
        "copy_memory"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.to]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.to)?;
        cx.host.clone_file(&self.from.memory(), &self.to)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.to)?;
        // Nobody looks for it once this plan is undone: a power cut must not bring it back.
        cx.host.sync_dir(parent(&self.to))?;
        Ok(Vec::new())
    }
}

/// Removes the copy that a VMM has woken from: it has mapped it, and nobody else may have it.
pub(super) fn forget_copy(cx: &StepCx<'_>, spec: &VmmSpec) -> HostResult<()> {
    match &spec.memory {
        Memory::Saved { file, .. } => cx.host.remove_file(file),
        Memory::Own | Memory::File { .. } | Memory::Suspended { .. } => Ok(()),
    }
}
