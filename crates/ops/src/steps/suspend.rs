//! A VM that is suspended: its memory goes to the disk, and comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::{ApiError, ErrorCode, VmId};
use banger_engine::{LaunchToken, VmmIdentity};
use serde::{Deserialize, Serialize};

use crate::layout::parent;
use crate::{Change, HostResult, StepBody, StepCx};

/// Time for a VMM to write the memory of its guest, whose VM does nothing else meanwhile.
const SUSPEND_DEADLINE: Duration = Duration::from_secs(120);

/// Writes the memory of a guest to the disk. The guest stands still then, and its VMM is to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendGuest {
    /// The VM.
    pub vm: VmId,
    /// Its VMM.
    pub vmm: VmmIdentity,
    /// The file.
    pub to: PathBuf,
}

impl StepBody for SuspendGuest {
    fn stage(&self) -> &'static str {
        "suspend"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.to]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host
            .suspend_vmm(self.vm, &self.vmm, &self.to, SUSPEND_DEADLINE)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        // The file first: a guest that goes on may never be loaded a second time.
        cx.host.remove_file(&self.to)?;
        cx.host.sync_dir(parent(&self.to))?;
        if cx.host.vmm_exit(&self.vmm)?.is_none() {
            cx.host.resume_vmm(&self.vmm)?;
        }
        Ok(Vec::new())
    }
}

/// Waits for a guest that goes on where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreetGuest {
    /// The VM.
    pub vm: VmId,
    /// Token of the launch, and its folder: the VMM of the step before.
    pub launch_token: LaunchToken,
    /// Folder of the launch.
    pub dir: PathBuf,
    /// Time for it to answer, in ms.
    pub deadline_ms: u64,
}

impl StepBody for GreetGuest {
    fn stage(&self) -> &'static str {
        "greet"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        let vmm = cx.host.find_vmm(&self.launch_token, &self.dir)?;
        let vmm = vmm.ok_or_else(|| {
            let message = "the VMM ended before the guest was reachable";
            ApiError::new(ErrorCode::VmmFailed, message)
        })?;
        let deadline = Duration::from_millis(self.deadline_ms);
        cx.host.greet_guest(self.vm, &vmm, deadline, cx.cancel)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
