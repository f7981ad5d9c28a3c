//! Messages: one JSON line each.

use std::net::{IpAddr, SocketAddr};

use banger_egress::{Name, Policy, Protocol, Verdict};
use banger_secret::SecretUse;
use serde::{Deserialize, Serialize};

use crate::{Publish, Record};

/// Version of the protocol that this build speaks.
pub const PROTOCOL_VERSION: u32 = 4;
/// Oldest version that this build speaks.
pub const PROTOCOL_MIN: u32 = 1;

/// A request of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// The first line of every conversation.
    Hello {
        /// The daemon's [`PROTOCOL_VERSION`].
        protocol: u32,
    },
    /// Another policy. Flows that it does not allow are reset before the answer.
    SetPolicy {
        /// The policy; of a higher generation than the present one, or the same one again.
        policy: Policy,
    },
    /// Name servers to ask from now on; none: those of the file.
    SetNameServers {
        /// Their addresses.
        servers: Vec<SocketAddr>,
    },
    /// The pidfd that goes along is the VMM's: the process ends when it does.
    Watch,
    /// The descriptor that goes along is a netlink socket of `NETLINK_SOCK_DIAG`: by it the process sees which user of the host a
    /// connection is of. Its jail lets it make none. Processes of version 1 do not know it.
    SeeUsers,
    /// The listening socket that goes along leads into the guest. Version 1 knows neither doors nor users.
    Publish {
        /// Its address, and the port of the guest.
        port: Publish,
    },
    /// A port no longer leads into the guest. Open connections stay.
    Unpublish {
        /// The port.
        port: Publish,
    },
    /// The socket that goes along (`SOCK_SEQPACKET`) leads to the process of another VM of the same network. Version 2 does not know
    /// it.
    Join {
        /// The other VM.
        peer: Name,
    },
    /// Another VM is joined no more. Open connections stay.
    Leave {
        /// The other VM.
        peer: Name,
    },
    /// Secrets that the guest uses from now on. The descriptor that goes along is memory with their values, in the same order
    /// ([`crate::Handover`]). Version 3 does not know it.
    SetSecrets {
        /// Their uses.
        uses: Vec<SecretUse>,
    },
    /// State and counters.
    Status,
    /// The last refusals, and with `follow` those to come.
    Denials {
        /// Only those with a higher number.
        #[serde(default)]
        after: u64,
        /// True when the conversation goes on with new ones.
        #[serde(default)]
        follow: bool,
    },
    /// Answer of the policy, without a trace.
    Check(Check),
    /// The process ends.
    Stop,
}

/// A question to the present policy, as a person asks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its protocol.
    pub protocol: Protocol,
    /// A name, an address, or `host`.
    pub target: String,
    /// The port; 0 for ICMP.
    pub port: u16,
}

/// An answer of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "re", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::SetPolicy`].
    PolicySet {
        /// The generation that counts from now on.
        generation: u64,
        /// Flows that were reset.
        reset: u32,
    },
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Denials`]: one refusal.
    Denial(Box<Record>),
    /// To [`Request::Check`].
    Checked(Checked),
    /// Done; also the end of [`Request::Denials`] without `follow`.
    Done,
    /// Not done.
    Failed {
        /// Its kind.
        code: FailureCode,
        /// For people.
        message: String,
    },
}

/// Identity of a network process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the protocol that is spoken: the lower of both sides.
    pub protocol: u32,
    /// Token of its launch.
    pub token: String,
    /// Its pid.
    pub pid: u32,
    /// Generation of its policy.
    pub generation: u64,
    /// Version of the program.
    pub build: String,
}

/// Kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The line is no request.
    Malformed,
    /// The versions of both sides do not meet.
    Protocol,
    /// The policy is of a lower generation, too large, or cannot be enforced.
    Policy,
    /// The message needs a descriptor and none came, or another kind.
    Descriptor,
    /// The host did not do it.
    Host,
    /// A kind of a newer process.
    #[serde(other)]
    Unknown,
}

/// Answer to a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Addresses that the host found for the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The verdict: of the address that would be connected to, or of the lookup.
    pub verdict: Verdict,
}

/// State of a network process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Generation of its policy.
    pub generation: u64,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// True when it ends with its VMM.
    pub watches_vmm: bool,
    /// Connections that are open.
    pub tcp: u32,
    /// Connections that the host, or the guest, has not answered yet.
    pub half_open: u32,
    /// Pairs of UDP.
    pub udp: u32,
    /// Names that have an address.
    pub names: u32,
    /// Bytes of all buffers of connections.
    pub buffer_bytes: u64,
    /// Counters since the start.
    pub counters: Counters,
    /// Published ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PublishStatus>,
    /// VMs that this one is joined with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Name>,
    /// The name servers that are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<SocketAddr>,
}

/// Counters since the start of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Frames that came from the guest.
    pub frames_in: u64,
    /// Frames that went to the guest.
    pub frames_out: u64,
    /// Frames that were malformed, fragments, or from another than the guest's address.
    pub dropped: u64,
    /// Connections and pairs that were opened.
    pub opened: u64,
    /// Refusals of the policy.
    pub denied: u64,
    /// Refusals because of a limit.
    pub limited: u64,
    /// Bytes of payload from the guest.
    pub sent_bytes: u64,
    /// Bytes of payload to the guest.
    pub received_bytes: u64,
    /// Names that were asked.
    pub lookups: u64,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishStatus {
    /// The port.
    pub port: Publish,
    /// The cause for which it does not listen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
