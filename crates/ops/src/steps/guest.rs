//! The guest: becoming this VM, and going down in order.

use std::time::Duration;

use banger_api::operation::EventKind;
use banger_api::{ApiError, ErrorCode, VmId};
use banger_engine::{LaunchToken, VmmIdentity};
use serde::{Deserialize, Serialize};

use crate::{Change, GuestSetup, HostResult, StepBody, StepCx};

/// Waits for the guest and makes it this VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureGuest {
    /// Its configuration.
    pub setup: GuestSetup,
    /// Token of the launch, and its folder: the VMM of the step before.
    pub launch_token: LaunchToken,
    /// Folder of the launch.
    pub dir: std::path::PathBuf,
    /// Time for the guest to boot and answer, in ms.
    pub deadline_ms: u64,
}

impl StepBody for ConfigureGuest {
    fn stage(&self) -> &'static str {
        match self.setup.woken {
            false => "boot",
            true => "configure",
        }
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        let vmm = cx
            .host
            .find_vmm(&self.launch_token, &self.dir)?
            .ok_or_else(|| {
                ApiError::new(
                    ErrorCode::VmmFailed,
                    "the VMM ended before the guest was reachable",
                )
            })?;
        let deadline = Duration::from_millis(self.deadline_ms);
        let stages = cx
            .host
            .configure_guest(&vmm, &self.setup, deadline, cx.cancel)?;
        for stage in stages {
            cx.events.emit(EventKind::StageDone {
                stage: format!("guest:{}", stage.name),
                us: stage.us,
            });
        }
        cx.host
            .sync_files_to_guest(&vmm, &self.setup, cx.events, cx.cancel);
        Ok(vec![Change::SetStarted {
            vm: self.setup.vm,
            at_ms: cx.host.now_ms(),
        }])
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Asks the guest to sync its disks and power off. What a guest does not do in time is left to [`super::EndVmm`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownGuest {
    /// The VM.
    pub vm: VmId,
    /// Its VMM.
    pub vmm: VmmIdentity,
    /// Time for it, in ms.
    pub deadline_ms: u64,
}

impl StepBody for ShutdownGuest {
    fn stage(&self) -> &'static str {
        "shut_down_guest"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        let deadline = Duration::from_millis(self.deadline_ms);
        match cx
            .host
            .shutdown_guest(self.vm, &self.vmm, deadline, cx.cancel)
        {
            Ok(true) => {}
            Ok(false) => cx
                .events
                .warn("the guest did not power off in time; its VMM is killed"),
            Err(error) => cx
                .events
                .warn(&format!("the guest did not shut down: {}", error.message)),
        }
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
