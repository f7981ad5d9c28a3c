//! The daemon itself, and the resources of banger on this host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorCode};
use crate::ids::OperationId;
use crate::operation::OperationKind;
use crate::vm::NetMode;

/// The daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Digest of its executable: a client of another build replaces the daemon.
    pub build: String,
    /// Path of its socket.
    pub socket: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Number of running VMs.
    pub running_vms: u64,
    /// Memory of the daemon, in bytes.
    pub memory_bytes: u64,
    /// Network mode of VMs that do not set one, from the configuration.
    #[serde(default)]
    pub default_net: NetMode,
    /// Work that its end would interrupt. Absent: an older build that does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// The newest build that wants to replace this daemon and waits until no work is under way here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_build: Option<String>,
}

/// Work that is under way in the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Activity {
    /// Operations that run or wait for their turn.
    pub operations: Vec<RunningOperation>,
    /// Open connections: commands, shells, copies, followed logs.
    pub streams: Vec<OpenStream>,
    /// Number of unanswered requests that change something.
    pub requests: u64,
}

impl Activity {
    /// Tells whether no work is under way.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.streams.is_empty() && self.requests == 0
    }

    /// Each piece of work, in a few words.
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

    /// The error for a request to end the daemon without force.
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
    /// The work that it does.
    pub kind: OperationKind,
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
    /// True to stop it even with work under way, which is interrupted then.
    pub force: bool,
    /// True when the caller wants to start its own daemon: the refusal, and the status, name its build.
    pub replace: bool,
}

/// A resource on this host that banger made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// `file`, `process`, `socket`, …
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its path, if it has one.
    pub path: Option<String>,
    /// Its owner; absent: it has none and may be swept.
    pub claimed_by: Option<String>,
}

/// Resources of banger on this host, or those that a sweep removed (or would remove).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resources {
    /// The resources.
    pub resources: Vec<Resource>,
}

/// Remove resources without an owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// True to only list them.
    pub dry_run: bool,
}
