//! Rules of a VM's network: what its guest may reach, and who says so.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::vm::{Egress, NetStack};
use crate::{Timestamp, VmId, VmName};

/// Effect of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// The named destinations may be reached.
    Allow,
    /// The named destinations may not be reached, whatever allows them.
    Deny,
}

impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// Side that a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleSide {
    /// The user.
    User,
    /// A file of a repository, which can only narrow.
    Repository,
}

impl fmt::Display for RuleSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Repository => "repository",
        })
    }
}

/// One rule of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetRule {
    /// Its effect.
    pub action: RuleAction,
    /// The rule: `[PROTOCOL:]TARGET[:PORTS]`.
    pub rule: String,
    /// Time until which it counts; without end when absent.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub until: Option<Timestamp>,
    /// Side that it comes from.
    pub by: RuleSide,
}

/// The network of a VM: its rules, and its process when one runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmNetwork {
    /// The VM.
    pub id: VmId,
    /// Its name.
    pub name: VmName,
    /// Carrier of its packets.
    pub stack: NetStack,
    /// Addresses that it may reach without a rule.
    pub egress: Egress,
    /// Its rules, in the order in which they were set.
    pub rules: Vec<NetRule>,
    /// Secrets that its guest uses without having them: `NAME=HOST[:PORT][:FORM]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Number of this state; each change has a higher one.
    pub generation: u64,
    /// Its network process; absent while none runs.
    pub process: Option<NetProcess>,
}

/// The network process of a VM that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetProcess {
    /// Its pid.
    pub pid: u32,
    /// Generation of the rules that it holds to.
    pub generation: u64,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Connections of TCP that are open.
    pub connections: u32,
    /// Refusals of its rules since it started.
    pub denied: u64,
    /// Bytes of payload from the guest since it started.
    pub sent_bytes: u64,
    /// Bytes of payload to the guest since it started.
    pub received_bytes: u64,
    /// The name servers that it asks.
    #[schema(value_type = Vec<String>)]
    pub name_servers: Vec<SocketAddr>,
    /// Published ports at which it does not listen, with the cause of each.
    pub unpublished: Vec<String>,
}

/// Change what a VM may reach. It holds at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeNetwork {
    /// Addresses that it may reach without a rule.
    pub egress: Option<Egress>,
    /// Rules that allow.
    pub allow: Vec<String>,
    /// Rules that deny.
    pub deny: Vec<String>,
    /// Rules to remove.
    pub remove: Vec<String>,
    /// Secrets that its guest uses from now on: `NAME=HOST[:PORT][:FORM]`; one of a name that it uses takes that one's place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Names of secrets that its guest uses no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forget_secrets: Vec<String>,
    /// Seconds for which the new rules count; without end when absent.
    pub for_s: Option<u64>,
}

/// Part of a VM's network that another side wants to be left: only what both allow is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NarrowNetwork {
    /// Addresses that are to be reached without a rule; `public` when absent.
    pub egress: Egress,
    /// Rules that allow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Rules that deny.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// Ask what the present rules say about a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckNetwork {
    /// `[tcp:|udp:]NAME:PORT`, an address in the name's place, or `host:PORT`.
    pub target: String,
}

/// Answer of the rules about a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetVerdict {
    /// True when it may be reached.
    pub allowed: bool,
    /// The grounds, or the reason of the refusal.
    pub reason: String,
    /// The rule that would allow it, where one can.
    pub rule_to_add: Option<String>,
    /// Addresses that the host found for the name.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
}
