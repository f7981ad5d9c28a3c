//! Network processes: starting one beside a VMM, replacing it, ending it.
//!
//! ```text
//! start    LaunchVmm ─► LaunchNet   while the guest boots: the link needs no order, and the process ends with the VMM
//! it died  ReplaceNet                its ports stay claimed by the VM
//! end      EndNet ─► EndVmm          whoever sees it end meanwhile finds the VM in another state
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_api::{ApiError, ErrorCode, VmId};
use banger_engine::LaunchToken;
use banger_net_control::{NetConfig, NetIdentity};
use banger_store::{Claim, ClaimKind};
use serde::{Deserialize, Serialize};

use crate::layout::parent;
use crate::{Change, Host, HostResult, StepBody, StepCx};

/// Time for a network process to answer.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(15);
/// Time for a killed process to be gone.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// One launch of a VM's network process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetLaunch {
    /// Folder of the VM's sockets.
    pub dir: PathBuf,
    /// User and group of the process when the daemon is root: those of its VMM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// All that it is told; its launch token among it.
    pub config: NetConfig,
}

impl NetLaunch {
    fn token(&self) -> &str {
        &self.config.launch_token
    }

    fn start(&self, cx: &StepCx<'_>, vmm: &LaunchToken) -> HostResult<NetStarted> {
        let vmm = cx.host.find_vmm(vmm, &self.dir)?.ok_or_else(vmm_gone)?;
        cx.host.start_net(self, &vmm, LAUNCH_DEADLINE)
    }

    /// Its pid may never have been recorded: the token on its command line finds it.
    fn undo(&self, cx: &StepCx<'_>) -> HostResult<()> {
        match cx.host.find_net(self.token(), &self.dir)? {
            Some(net) => cx.host.end_net(&net, END_DEADLINE),
            None => Ok(()),
        }
    }
}

fn vmm_gone() -> ApiError {
    let message = "the VMM ended before its network was there";
    ApiError::new(ErrorCode::VmmFailed, message)
}

/// A network process that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetStarted {
    /// Its identity.
    pub identity: NetIdentity,
    /// Published ports at which it does not listen, each with the cause.
    pub unpublished: Vec<String>,
}

/// The claim of the network process that was started with this token.
pub(crate) fn net_claim(token: &str) -> Claim {
    Claim::new(ClaimKind::Process, token)
}

/// Starts a VM's network process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchNet {
    /// The VM.
    pub vm: VmId,
    /// The launch.
    pub launch: NetLaunch,
    /// Token of the VMM's launch: the process ends with the VMM.
    pub vmm: LaunchToken,
}

impl StepBody for LaunchNet {
    fn stage(&self) -> &'static str {
        "launch_network"
    }
    fn claims(&self) -> Vec<Claim> {
        let publish = self.launch.config.publish.iter();
        let ports = publish.map(|port| Claim::host_port(port.host_ip, port.host_port));
        std::iter::once(net_claim(self.launch.token()))
            .chain(ports)
            .collect()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        let started = self.launch.start(cx, &self.vmm)?;
        if let Some(cause) = started.unpublished.first() {
            return Err(ApiError::new(ErrorCode::InUse, cause.clone()));
        }
        Ok(vec![set(self.vm, Some(started.identity))])
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        self.launch.undo(cx)?;
        Ok(vec![set(self.vm, None)])
    }
}

/// Starts another network process in the place of one that has ended, or that does not answer any more. The ports stay
/// claimed by the VM, whatever becomes of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceNet {
    /// The VM.
    pub vm: VmId,
    /// The one that goes; without it what runs in the folder does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<NetIdentity>,
    /// The launch of the next one.
    pub launch: NetLaunch,
    /// Token of the VMM's launch.
    pub vmm: LaunchToken,
}

impl StepBody for ReplaceNet {
    fn stage(&self) -> &'static str {
        "replace_network"
    }
    fn claims(&self) -> Vec<Claim> {
        vec![net_claim(self.launch.token())]
    }
    fn releases(&self) -> Vec<Claim> {
        self.old.iter().map(|old| net_claim(&old.token)).collect()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        end(cx.host, self.old.as_ref(), &self.launch.dir)?;
        let started = self.launch.start(cx, &self.vmm)?;
        for cause in &started.unpublished {
            // The rest of the network is worth more.
            cx.events.warn(cause);
        }
        Ok(vec![set(self.vm, Some(started.identity))])
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        // The record keeps the old one, whose end is found again.
        self.launch.undo(cx)?;
        Ok(Vec::new())
    }
}

/// Ends a VM's network process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndNet {
    /// The VM.
    pub vm: VmId,
    /// Its process, when one is recorded. Without it what runs in `dir` is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<NetIdentity>,
    /// Folder of the VM's sockets.
    pub dir: PathBuf,
}

impl StepBody for EndNet {
    fn stage(&self) -> &'static str {
        "end_network"
    }
    fn releases(&self) -> Vec<Claim> {
        self.net.iter().map(|net| net_claim(&net.token)).collect()
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        end(cx.host, self.net.as_ref(), &self.dir)?;
        Ok(vec![set(self.vm, None)])
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Ends a network process that nothing claims. Its identity is checked again before it is signalled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndStrayNet {
    /// The process.
    pub net: NetIdentity,
}

impl StepBody for EndStrayNet {
    fn stage(&self) -> &'static str {
        "clean_up"
    }
    fn releases(&self) -> Vec<Claim> {
        vec![net_claim(&self.net.token)]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.end_net(&self.net, END_DEADLINE)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

fn set(vm: VmId, net: Option<NetIdentity>) -> Change {
    Change::SetNet { vm, net }
}

fn end(host: &dyn Host, net: Option<&NetIdentity>, dir: &Path) -> HostResult<()> {
    if let Some(net) = net {
        return host.end_net(net, END_DEADLINE);
    }
    if !host.exists(dir)? {
        return Ok(());
    }
    let nets = host.list_nets(parent(dir))?;
    let here = nets.iter().filter(|net| net.dir == dir);
    here.into_iter()
        .try_for_each(|net| host.end_net(net, END_DEADLINE))
}
