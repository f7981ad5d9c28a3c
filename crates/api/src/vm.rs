//! VMs as users see them, and the requests that change them.

mod ports;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::condition::Condition;
use crate::exit::ExitCause;
use crate::guest::GuestUse;
use crate::ids::{EngineName, ImageName, KernelName, NetworkName, OperationId, VmId, VmName};
use crate::jail::VmJail;
use crate::kernel::KernelChoice;
use crate::labels::{LabelFilter, LabelKey, LabelValue, Labels};
use crate::size::ByteSize;

pub use ports::{ChangePorts, OpenPort, Port, Publish};

/// The state of a VM.
///
/// ```text
/// created ──► starting ──► running ──► stopping ──► stopped
///                │            │                        │
///                └──► error ◄─┘        deleting ◄──────┘ (from every state)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    /// It has disks and has never run.
    Created,
    /// A VMM is being started or the guest is booting.
    Starting,
    /// The guest is up and answers.
    Running,
    /// It is being stopped.
    Stopping,
    /// No VMM runs; its disks are kept.
    Stopped,
    /// Its memory is saved and no VMM runs.
    Suspended,
    /// It is being deleted.
    Deleting,
    /// The last start failed or the VMM ended by itself; the cause is in [`Vm::error`].
    Error,
}

impl VmState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Suspended,
        Self::Deleting,
        Self::Error,
    ];

    /// The state's name as users and JSON see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Network mode of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetMode {
    /// No network device.
    None,
    /// Rootless user-mode network.
    #[default]
    User,
}

impl FromStr for NetMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "user" => Ok(Self::User),
            _ => Err(format!(
                "network mode \"{text}\" is not known: use none or user"
            )),
        }
    }
}

impl fmt::Display for NetMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::User => "user",
        })
    }
}

/// Addresses that a guest in `user` mode may reach. QEMU's own network knows `all` and `none`.
pub use banger_egress::Egress;

/// Carrier of the packets of a guest in `user` mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetStack {
    /// QEMU itself: it knows no rules, and passes the host's loopback on.
    #[default]
    Slirp,
    /// A process of banger's beside the VMM, which judges every destination.
    Own,
}

impl FromStr for NetStack {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "slirp" => Ok(Self::Slirp),
            "own" => Ok(Self::Own),
            _ => Err(format!(
                "network stack \"{text}\" is not known: use own or slirp"
            )),
        }
    }
}

impl fmt::Display for NetStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slirp => "slirp",
            Self::Own => "own",
        })
    }
}

/// Fate of a running VM after its host went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// It becomes `stopped`.
    #[default]
    No,
    /// The next daemon starts it again.
    Always,
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Always => "always",
        })
    }
}

impl FromStr for RestartPolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "no" => Ok(Self::No),
            "always" => Ok(Self::Always),
            _ => Err(format!(
                "restart policy \"{text}\" is not known: use no or always"
            )),
        }
    }
}

/// One VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Vm {
    /// Its id.
    pub id: VmId,
    /// Its name, unique among the VMs that exist.
    pub name: VmName,
    /// Its state.
    pub state: VmState,
    /// Name of its image at the time of its creation.
    pub image: ImageName,
    /// The name of its kernel.
    pub kernel: KernelName,
    /// True when it boots the kernel that is installed in its own root.
    #[serde(default)]
    pub own_kernel: bool,
    /// The engine that runs it: `qemu`.
    pub engine: EngineName,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Size of the work disk in bytes, as the guest sees it.
    pub disk_bytes: u64,
    /// Size of the system overlay in bytes, as the guest sees it.
    pub overlay_bytes: u64,
    /// Its network mode.
    pub net: NetMode,
    /// Carrier of its packets.
    #[serde(default)]
    pub stack: NetStack,
    /// Addresses that it may reach.
    pub egress: Egress,
    /// Rules of what it may reach besides, and of what it may not.
    #[serde(default)]
    pub rules: Vec<crate::network::NetRule>,
    /// True when its guest reaches services that listen on this host's loopback, in its local networks and, on a cloud
    /// machine, the metadata service: the user network of QEMU passes every address on.
    #[serde(default)]
    pub reaches_host: bool,
    /// Secrets that its guest uses without having them: `NAME=HOST[:PORT][:FORM]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Ports published on the host.
    pub publish: Vec<Publish>,
    /// The network whose VMs it may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<NetworkName>,
    /// Servers of its guest that are open at its address, and those that could not be opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<OpenPort>,
    /// The address of its servers for browsers of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The address at which the host reaches it, if it has one: its own on banger's network.
    pub address: Option<String>,
    /// Time of its creation.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// Time at which its guest last became reachable.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub started_at: Option<Timestamp>,
    /// True when it is deleted at the end of its `run`.
    pub ephemeral: bool,
    /// Policy for a restart after the host went down.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Keys and values that its user gave it.
    #[serde(default)]
    pub labels: Labels,
    /// True when settings were changed that apply at the next start.
    pub restart_needed: bool,
    /// Size of the machine that runs, where the settings are others by now: those apply at the next start.
    #[serde(default)]
    pub runs: Option<MachineSize>,
    /// Cause of its state `error`, or of its last end by itself.
    pub error: Option<String>,
    /// Cause of the last end of its VMM by itself.
    #[serde(default)]
    pub exit: Option<ExitCause>,
    /// Problems while it runs; set in the answers to list and show requests.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The jail of its VMM; absent while none runs, and for one that an older banger started.
    #[serde(default)]
    pub jail: Option<VmJail>,
}

/// Size of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineSize {
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

/// Make a VM. Absent fields come from the configuration, then from the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateVm {
    /// Its name; absent: a generated one.
    pub name: Option<VmName>,
    /// The image's name; if it is missing, the recipe of that name is built first.
    pub image: Option<ImageName>,
    /// The kernel's name, or `image` for the one that is installed in its root.
    #[schema(value_type = Option<String>)]
    pub kernel: Option<KernelChoice>,
    /// The engine: `auto` or `qemu`.
    pub engine: Option<EngineName>,
    /// Virtual CPUs, at least 1.
    pub vcpu: Option<u32>,
    /// Memory in bytes.
    pub memory: Option<ByteSize>,
    /// Work disk in bytes.
    pub disk_size: Option<ByteSize>,
    /// System overlay in bytes.
    pub overlay_size: Option<ByteSize>,
    /// Its network mode.
    pub net: Option<NetMode>,
    /// Carrier of its packets; the configuration's `network.stack` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<NetStack>,
    /// Addresses that it may reach.
    pub egress: Option<Egress>,
    /// The network whose VMs it may see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<NetworkName>,
    /// Rules of what it may reach besides: `[PROTOCOL:]TARGET[:PORTS]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Rules of what it may not reach, whatever allows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Secrets that its guest uses without having them: `NAME=HOST[:PORT][:FORM]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What a repository wants to be left of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrow: Option<crate::network::NarrowNetwork>,
    /// Ports to publish.
    pub publish: Vec<Publish>,
    /// True to start it as well.
    pub start: bool,
    /// True to delete it at the end of its `run`.
    pub ephemeral: bool,
    /// Policy for a restart after the host went down.
    pub restart: Option<RestartPolicy>,
    /// Keys and values to find it by.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Delete the VM that has the name, also a running one, with all its files: when the new one is made and before it
    /// starts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// Boot a kernel, also where there is a template to wake from.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_template: bool,
}

/// Change a VM's settings; absent fields stay. Applies at the next start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetVm {
    /// New name.
    pub name: Option<VmName>,
    /// The kernel's name, or `image` for the one that is installed in its root.
    #[schema(value_type = Option<String>)]
    pub kernel: Option<KernelChoice>,
    /// Virtual CPUs.
    pub vcpu: Option<u32>,
    /// Memory in bytes.
    pub memory: Option<ByteSize>,
    /// Work disk in bytes; it can only grow.
    pub disk_size: Option<ByteSize>,
    /// Its network mode.
    pub net: Option<NetMode>,
    /// The network whose VMs it may see from now on, in place of another one. It holds at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<NetworkName>,
    /// True to be in no such network any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leave: bool,
    /// Addresses that it may reach.
    pub egress: Option<Egress>,
    /// Ports to publish, in place of the current ones.
    pub publish: Option<Vec<Publish>>,
    /// Policy for a restart after the host went down.
    pub restart: Option<RestartPolicy>,
    /// Labels to set, and with `null` to remove; the others stay. They hold at once.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub labels: BTreeMap<LabelKey, Option<LabelValue>>,
}

/// Stop a VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StopVm {
    /// Seconds to wait for the guest before it is killed; 10 when absent.
    pub timeout_s: Option<u32>,
}

/// Kill a VM's VMM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KillVm {
    /// `KILL` (default) or `TERM`, with or without `SIG`, or the number.
    pub signal: Option<String>,
}

/// The answer to a request that starts an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The operation to follow.
    pub operation: OperationId,
    /// The VM that it concerns, in its current state.
    pub vm: Option<Vm>,
    /// The VMs that it makes of that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forks: Vec<Vm>,
}

/// Remove VMs that do not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PruneVms {
    /// Only say what would go.
    pub dry_run: bool,
    /// Only those that every one of these selects: `KEY=VALUE`, or `KEY` with any value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub labels: Vec<LabelFilter>,
}

/// Remove what nobody uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prune {
    /// True to only list them.
    pub dry_run: bool,
}

/// VMs that a prune removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pruned {
    /// The VMs.
    pub vms: Vec<Vm>,
    /// Bytes of disk that they had allocated.
    pub freed_bytes: u64,
    /// Operations that remove them; empty in a dry run.
    pub operations: Vec<OperationId>,
}

/// Current resource use of a VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VmStats {
    /// The VM.
    pub id: VmId,
    /// Its name.
    pub name: VmName,
    /// Its state.
    pub state: VmState,
    /// CPU time that its VMM has used on the host, in ms.
    pub host_cpu_ms: Option<u64>,
    /// Memory that its VMM holds on the host, in bytes.
    pub host_memory_bytes: Option<u64>,
    /// Bytes allocated on the host for its work disk.
    pub disk_allocated_bytes: u64,
    /// Bytes allocated on the host for its system overlay.
    pub overlay_allocated_bytes: u64,
    /// Report of the guest about itself, if it runs and answers. The guest may lie.
    pub guest: Option<GuestUse>,
    /// Its size at the next start, where that is not the size that runs.
    #[serde(default)]
    pub next: Option<MachineSize>,
    /// Problems while it runs.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// Health of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmHealth {
    /// The VM.
    pub id: VmId,
    /// Its name.
    pub name: VmName,
    /// Its state.
    pub state: VmState,
    /// True when the guest answered.
    pub healthy: bool,
    /// Time of one call to the guest and back, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Cause if it is not healthy.
    pub cause: Option<String>,
    /// Problems while it runs.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terminal {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// Run a command in a running guest. The answer is an upgrade to the exec stream (see `docs/architecture.md`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exec {
    /// Program and arguments. Empty: a shell; the image's own command if the guest has no shell.
    pub argv: Vec<String>,
    /// True to run the image's own command: its entry point, then `argv`, or its command if `argv` is empty.
    pub image_command: bool,
    /// Variables on top of the guest's own.
    pub env: BTreeMap<String, String>,
    /// Working directory; the image's own when absent, else the user's home.
    pub cwd: Option<String>,
    /// User in the guest, by name or number; the image's own when absent, else root.
    pub user: Option<String>,
    /// Size of the command's terminal; absent: no terminal.
    pub terminal: Option<Terminal>,
    /// Value of `TERM`.
    pub term: Option<String>,
    /// True when the caller sends standard input.
    pub stdin: bool,
    /// Time limit in milliseconds. At its end the command and all its children get `SIGTERM`, and after 5 s `SIGKILL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// True to delete the VM when this ends for any reason (the `--rm` of `vm run`).
    pub then_delete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_of_a_request_is_refused() {
        assert!(serde_json::from_str::<CreateVm>(r#"{"vcpus":2}"#).is_err());
    }
}
