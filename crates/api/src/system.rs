//! The daemon itself, and what banger owns on this host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorCode};
use crate::ids::OperationId;
use crate::vm::NetMode;

/// The daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Digest of its executable: another one replaces the daemon.
    pub build: String,
    /// Path of its socket.
    pub socket: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// VMs that run.
    pub running_vms: u64,
    /// Memory that the daemon holds, in bytes.
    pub memory_bytes: u64,
    /// How VMs are connected that do not say it, as the configuration has it.
    #[serde(default)]
    pub default_net: NetMode,
    /// What its end would cut. Absent: a build that does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// The newest build that has asked for this daemon's place and waits until nothing is under way here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_build: Option<String>,
}

/// What is under way in the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Activity {
    /// Operations that run or wait for their turn.
    pub operations: Vec<RunningOperation>,
    /// Connections that stay open: commands, shells, copies, logs that are followed.
    pub streams: Vec<OpenStream>,
    /// Requests that change something and are not answered yet.
    pub requests: u64,
}

impl Activity {
    /// Nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.streams.is_empty() && self.requests == 0
    }

    /// Each thing that is under way, in a few words.
    pub fn named(&self) -> Vec<String> {
        let operations = self.operations.iter().map(|operation| match &operation.vm {
            Some(vm) => format!("{} of \"{vm}\"", operation.kind),
            None => format!("{} (operation {})", operation.kind, operation.id),
        });
        let streams = self
            .streams
            .iter()
            .map(|stream| format!("{} of \"{}\"", stream.kind, stream.of));
        let requests = (self.requests > 0).then(|| match self.requests {
            1 => "a request or stream".to_owned(),
            many => format!("{many} requests or streams"),
        });
        operations.chain(streams).chain(requests).collect()
    }

    /// Why a daemon does not end that was not forced to.
    pub fn refuses_to_end(&self) -> ApiError {
        let message = format!(
            "the daemon is busy, and its end would cut: {}",
            self.named().join(", ")
        );
        ApiError::new(ErrorCode::WrongState, message).hint(
            "wait until they end (banger daemon status), or cut them: banger daemon stop --force",
        )
    }
}

/// An operation that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningOperation {
    /// Its id.
    pub id: OperationId,
    /// `create`, `start`, `build`, …
    pub kind: String,
    /// The name of the VM that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<String>,
}

/// A connection that stays open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenStream {
    /// `exec`, `put`, `get`, `connect`, `attach`, `logs`, `export`.
    pub kind: String,
    /// The name of the VM or image.
    pub of: String,
    /// Seconds since it was opened.
    pub open_s: u64,
}

/// Stop the daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StopDaemon {
    /// Also when something is under way, which is cut then.
    pub force: bool,
    /// Whoever asks wants to start its own daemon: the answer to a refusal, and the status, name its build.
    pub replace: bool,
}

/// Something on this host that banger made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// `file`, `process`, `socket`, …
    pub kind: String,
    /// What names it.
    pub id: String,
    /// Where it is, when it has a place.
    pub path: Option<String>,
    /// Who claims it; nobody: it may be swept.
    pub claimed_by: Option<String>,
}

/// What banger owns on this host, or what a sweep removed (or would remove).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resources {
    /// The resources.
    pub resources: Vec<Resource>,
}

/// Remove what nothing claims.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// Only say what would go.
    pub dry_run: bool,
}
