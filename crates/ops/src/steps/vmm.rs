//! VMM processes: launching and ending.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::{ApiError, ErrorCode, VmId};
use banger_engine::{LaunchToken, NetSpec, Signal, VmmIdentity, VmmSpec};
use banger_store::{Claim, ClaimKind};
use serde::{Deserialize, Serialize};

use super::template::forget_copy;
use crate::layout::parent;
use crate::{Change, Host, HostResult, StepBody, StepCx};

/// Time for a VMM to answer at its control socket.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(30);
/// Time for a killed process to be gone.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// The claim of the process that was started with this token.
pub(crate) fn process_claim(token: &LaunchToken) -> Claim {
    Claim::new(ClaimKind::Process, token.as_str())
}

/// The claim of the user that one VMM alone is.
#[must_use]
pub fn user_claim(uid: u32) -> Claim {
    Claim::new(ClaimKind::User, uid.to_string())
}

/// Claims of a VMM that is started with this spec.
pub(crate) fn claims_of(spec: &VmmSpec) -> Vec<Claim> {
    let mut claims = vec![process_claim(&spec.launch_token)];
    claims.extend(spec.user.map(user_claim));
    if let NetSpec::User { publish, .. } = &spec.net {
        claims.extend(
            publish
                .iter()
                .map(|p| Claim::host_port(p.host_ip, p.host_port)),
        );
    }
    claims
}

/// Starts a VM's VMM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchVmm {
    /// The VM.
    pub vm: VmId,
    /// The VMM.
    pub spec: VmmSpec,
}

impl StepBody for LaunchVmm {
    fn stage(&self) -> &'static str {
        match self.spec.memory.state() {
            None => "launch_vmm",
            Some(_) => "wake_vmm",
        }
    }
    fn claims(&self) -> Vec<Claim> {
        claims_of(&self.spec)
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        let vmm = cx.host.start_vmm(&self.spec, LAUNCH_DEADLINE)?;
        forget_copy(cx, &self.spec)?;
        Ok(vec![Change::SetVmm {
            vm: self.vm,
            vmm: Some(vmm),
        }])
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        // Its pid may never have been recorded: the token on its command line finds it.
        if let Some(vmm) = cx.host.find_vmm(&self.spec.launch_token, &self.spec.dir)? {
            cx.host.end_vmm(&vmm, Signal::KILL, END_DEADLINE)?;
        }
        Ok(vec![Change::SetVmm {
            vm: self.vm,
            vmm: None,
        }])
    }
}

/// Ends a VM's VMM, when it still runs, and releases what it claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndVmm {
    /// The VM.
    pub vm: VmId,
    /// Its VMM, when one is recorded and can be read. Without it and without a token, what runs in `dir` is ended.
    pub vmm: Option<VmmIdentity>,
    /// Folder of the launch.
    pub dir: PathBuf,
    /// Token of the launch, when it is known.
    pub launch_token: Option<LaunchToken>,
    /// Number of the signal that is sent first; `SIGKILL` follows when it does not end the process.
    pub signal: i32,
}

impl EndVmm {
    /// Ends whatever runs in the VM's run directory: no VMM is known, which is not to say that none runs.
    fn end_unknown(&self, cx: &StepCx<'_>) -> HostResult<()> {
        if !cx.host.exists(&self.dir)? {
            return Ok(());
        }
        for vmm in in_directory(cx.host, &self.dir)? {
            cx.host.end_vmm(&vmm, Signal::KILL, END_DEADLINE)?;
        }
        match in_directory(cx.host, &self.dir)?.first() {
            None => Ok(()),
            Some(vmm) => {
                let dir = self.dir.display();
                let message = format!("VMM process {} still runs in {dir}", vmm.pid);
                Err(ApiError::new(ErrorCode::VmmFailed, message))
            }
        }
    }
}

/// The VMMs that run in a directory, whatever is known of them.
pub(crate) fn in_directory(host: &dyn Host, dir: &Path) -> HostResult<Vec<VmmIdentity>> {
    let mut vmms = host.list_vmms(parent(dir))?;
    vmms.retain(|vmm| vmm.dir() == dir);
    Ok(vmms)
}

impl StepBody for EndVmm {
    fn stage(&self) -> &'static str {
        "end_vmm"
    }
    fn releases(&self) -> Vec<Claim> {
        self.launch_token.iter().map(process_claim).collect()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        if let Some(vmm) = &self.vmm {
            let signal = Signal::from_named_raw(self.signal).unwrap_or(Signal::KILL);
            let ended = cx.host.end_vmm(vmm, signal, END_DEADLINE);
            if ended.is_err() && signal != Signal::KILL {
                cx.events
                    .warn("the VMM did not end on the signal; killing it");
                cx.host.end_vmm(vmm, Signal::KILL, END_DEADLINE)?;
            } else {
                ended?;
            }
        }
        // A launch that was cut off before its pid was recorded left only its token. To look for one is to read about every
        // process of the host, so not for a launch that was just ended by its pid.
        let ended = self.vmm.as_ref().map(|vmm| &vmm.launch_token);
        if let Some(token) = &self.launch_token
            && ended != Some(token)
            && let Some(vmm) = cx.host.find_vmm(token, &self.dir)?
        {
            cx.host.end_vmm(&vmm, Signal::KILL, END_DEADLINE)?;
        }
        if self.vmm.is_none() && self.launch_token.is_none() {
            self.end_unknown(cx)?;
        }
        let (vm, vmm) = (self.vm, None);
        Ok(vec![
            Change::SetVmm { vm, vmm },
            Change::ReleasePorts(vm),
            Change::ReleaseUsers(vm),
            Change::ReleaseLaunches(vm),
        ])
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
