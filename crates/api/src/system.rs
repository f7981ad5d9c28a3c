//! The daemon itself, and what banger owns on this host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
