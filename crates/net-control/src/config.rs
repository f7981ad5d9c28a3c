//! Configuration with which a network process starts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use banger_egress::Policy;
use banger_secret::SecretUse;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Proxy;

/// Version of [`NetConfig`].
pub const NET_CONFIG_VERSION: u32 = 1;

/// Hardware address of the gateway: locally administered, the same for every VM, for each has a link of its own.
pub const GATEWAY_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0x00, 0x02, 0x02];

/// All that one network process is told when it starts. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetConfig {
    /// [`NET_CONFIG_VERSION`] of its writer.
    pub version: u32,
    /// Id of the VM.
    pub vm_id: Uuid,
    /// Name of the VM, for the log.
    pub vm_name: String,
    /// Token of this launch; also an argument of the process.
    pub launch_token: String,
    /// The datagram link to the VMM.
    pub link: Link,
    /// Socket at which the process listens for the daemon, of 0600 in a folder of 0700.
    pub control: PathBuf,
    /// Folder of the audit log; without one nothing is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<PathBuf>,
    /// The guest's side of the link.
    #[serde(default)]
    pub guest: GuestLink,
    /// The host's name servers.
    #[serde(default)]
    pub dns: NameServers,
    /// The proxy through which the internet is reached, in networks that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Ports of the host that lead into the guest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
    /// Secrets that the guest uses without having them; their values come later ([`crate::Request::SetSecrets`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretUse>,
    /// The policy.
    pub policy: Policy,
}

/// Two Unix datagram sockets: `-netdev dgram,local.path=PEER,remote.path=OWN`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Socket of the network process. It is bound anew by each one, in place of the last one's.
    pub own: PathBuf,
    /// Socket of the VMM.
    pub peer: PathBuf,
}

/// The guest's side of the link. [`Default`] has the addresses that QEMU's user network has, and IPv6 besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestLink {
    /// Hardware address of the guest's device. Without it the first frame of the guest's tells it, and until then a connection
    /// into the guest waits: Linux drops TCP that is broadcast. Older builds say none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<[u8; 6]>,
    /// Largest IP packet, bytes. The guest's device says the same (`host_mtu`).
    pub mtu: u16,
    /// IPv4.
    pub v4: GuestV4,
    /// IPv6; without it the guest has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v6: Option<GuestV6>,
}

/// IPv4 of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestV4 {
    /// The guest.
    pub address: Ipv4Addr,
    /// Length of the network's prefix, bits.
    pub prefix: u8,
    /// The gateway, which is also the host.
    pub gateway: Ipv4Addr,
    /// The name server.
    pub name_server: Ipv4Addr,
}

/// IPv6 of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestV6 {
    /// The guest.
    pub address: Ipv6Addr,
    /// Length of the network's prefix, bits.
    pub prefix: u8,
    /// The gateway, which is also the host. It answers router solicitations, so the guest needs no route by hand.
    pub gateway: Ipv6Addr,
    /// The name server.
    pub name_server: Ipv6Addr,
}

impl Default for GuestLink {
    fn default() -> Self {
        let v6 = |last| Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 0, 0, 0, 0, last);
        Self {
            mac: None,
            mtu: 65_520,
            v4: GuestV4 {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Ipv4Addr::new(10, 0, 2, 2),
                name_server: Ipv4Addr::new(10, 0, 2, 3),
            },
            v6: Some(GuestV6 {
                address: v6(0x15),
                prefix: 64,
                gateway: v6(2),
                name_server: v6(3),
            }),
        }
    }
}

/// The host's name servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServers {
    /// File that names them (resolv.conf(5)), without links on the way: it is looked at again when it changes.
    pub resolv_conf: PathBuf,
    /// Servers to ask instead of the file's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<SocketAddr>,
}

impl Default for NameServers {
    fn default() -> Self {
        Self {
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            servers: Vec::new(),
        }
    }
}

/// A TCP port of the host that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Publish {
    /// Host address that listens.
    pub host_ip: IpAddr,
    /// Host port; not 0.
    pub host_port: u16,
    /// Guest port; not 0.
    pub guest_port: u16,
    /// Port of the guest's at which its agent is told the guest port first (two bytes, big-endian), and passes the connection on to
    /// that port, wherever in the guest its server listens. Without one the guest port itself is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<u16>,
    /// User of the host whose connections alone are taken; without one everybody's are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_uid: Option<u32>,
}

impl Publish {
    /// A port of everybody's that leads to the same port of the guest's own address.
    #[must_use]
    pub fn new(host_ip: IpAddr, host_port: u16, guest_port: u16) -> Self {
        Self {
            host_ip,
            host_port,
            guest_port,
            door: None,
            only_uid: None,
        }
    }
}
