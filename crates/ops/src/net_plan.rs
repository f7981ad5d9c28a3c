//! The network of one VM as data, made once from its record.
//!
//! ```text
//! VmRecord ─► NetPlan ─┬─► device()      the engine's network device, on slirp with its host ports
//!                      ├─► link(), ports()  its network process's side of the link, and the host ports
//!                      ├─► guest, …      the interface, /etc/resolv.conf and relays of the guest
//!                      └─► leading_to()  what `vm ports` says of a listener
//! ```
//!
//! A published port reaches its server in one of two ways:
//!
//! ```text
//! 127.0.0.1:8080 ─► the agent's relay at a high port ─► the server, wherever in the guest it listens
//! 0.0.0.0:8080  ─────────────────────────────────────► the server, when it listens at the guest's own address
//! ```
//!
//! On banger's own network one door of the agent's stands for all relays: it is told the port. So ports come and go while the guest runs.
//!
//! Connections from other machines do not go through the relay. So the server sees their real address, and a server that
//! listens only on the guest's loopback, and trusts everyone there, is never exposed to a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use banger_api::vm::{Egress, NetMode, NetStack, Publish};
use banger_engine::NetSpec;
use banger_net_control::{GuestLink, GuestV4, GuestV6};
use banger_store::VmRecord;
use serde::{Deserialize, Serialize};

/// The guest's own address. This one and the next three are those of QEMU's user network (QEMU manual, "Using the user mode network
/// stack"), which is started without others.
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const PREFIX: u8 = 24;
/// Hardware address of every guest's device, locally administered (IEEE 802: bit 1 of the first octet). Each VM is alone on its
/// network, and a device that wakes in a saved machine keeps the address that it was saved with.
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

/// IPv6 of a guest that has a network process: of a unique local network (RFC 4193) that only its link knows.
const GUEST_V6: Ipv6Addr = local(0x15);
const PREFIX_V6: u8 = 64;

const fn local(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd62, 0x616e, 0x6765, 0, 0, 0, 0, last)
}

/// Largest IP packet between guest and network process: with 1,500 each byte would cost several times as much.
const MTU: u16 = 65_520;

/// Relays are above the ports that Linux gives to outgoing connections (`ip_local_port_range`, ip(7)): 4536 of them.
const LOWEST_RELAY: u16 = 61_000;

/// The network of a VM that has one: always the same for the same record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetPlan {
    /// Hardware address of the guest's device.
    pub mac: [u8; 6],
    /// Carrier of its packets.
    #[serde(default)]
    pub stack: NetStack,
    /// The guest's own address.
    pub guest: IpAddr,
    /// The guest's own IPv6 address with the length of its network's prefix, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_v6: Option<(Ipv6Addr, u8)>,
    /// Length of its network's prefix, in bits.
    pub prefix: u8,
    /// Address of the host in that network.
    pub gateway: IpAddr,
    /// Address that answers names; `None` without a way out, where it would only be waited for.
    pub resolver: Option<IpAddr>,
    /// Addresses that the guest may reach.
    pub egress: Egress,
    /// Published ports with their ways into the guest.
    pub routes: Vec<Route>,
    /// Ports that the guest's agent passes on.
    pub relays: Vec<Relay>,
    /// Port at which the guest's agent takes connections for all of its ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<u16>,
}

/// A published port and its way into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The port as its user has published it.
    pub publish: Publish,
    /// Port of the guest's own address that the host connects to.
    pub to: u16,
}

/// A published port that reaches the guest at `at`, and the port of its server there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Port at which the guest's agent listens for the host.
    pub at: u16,
    /// Port of the server.
    pub port: u16,
}

impl NetPlan {
    /// The network of `vm`; `None` for a VM without a network device.
    pub fn of(vm: &VmRecord) -> Option<Self> {
        if vm.net == NetMode::None {
            return None;
        }
        let is_own = vm.network.stack == NetStack::Own;
        let door = vm.network.door.filter(|_| is_own);
        let (routes, relays) = match door {
            Some(_) => (direct(vm.published()), Vec::new()),
            None => routes(vm.published()),
        };
        // A network process refuses at once what may not be asked.
        let answers = is_own || vm.egress == Egress::All;
        Some(Self {
            mac: MAC,
            stack: vm.network.stack,
            guest: GUEST.into(),
            guest_v6: is_own.then_some((GUEST_V6, PREFIX_V6)),
            prefix: PREFIX,
            gateway: GATEWAY.into(),
            resolver: answers.then_some(NAME_SERVER.into()),
            egress: vm.egress,
            routes,
            relays,
            door,
        })
    }

    /// The door for a start of `vm`: a port at which none of its servers is expected.
    pub fn door_of(vm: &VmRecord) -> Option<u16> {
        let is_wanted = |at: u16| vm.publish.iter().any(|one| one.guest_port == at);
        let mut free = (LOWEST_RELAY..=u16::MAX).rev().filter(|at| !is_wanted(*at));
        free.next().filter(|_| vm.has_net_process())
    }

    /// The engine's network device, with the ports at which it listens on the host.
    pub fn device(&self) -> NetSpec {
        let publish = |route: &Route| banger_engine::Publish {
            host_ip: route.publish.host_ip,
            host_port: route.publish.host_port,
            guest_port: route.to,
        };
        let mac = self.mac;
        match self.stack {
            NetStack::Own => NetSpec::Datagrams { mac, mtu: MTU },
            NetStack::Slirp => NetSpec::User {
                mac,
                egress: self.egress == Egress::All,
                publish: self.routes.iter().map(publish).collect(),
            },
        }
    }

    /// The guest's side of the link to its network process.
    pub fn link(&self) -> GuestLink {
        GuestLink {
            mac: Some(self.mac),
            mtu: MTU,
            v4: GuestV4 {
                address: GUEST,
                prefix: self.prefix,
                gateway: GATEWAY,
                name_server: NAME_SERVER,
            },
            v6: self.guest_v6.map(|(address, prefix)| GuestV6 {
                address,
                prefix,
                gateway: local(2),
                name_server: local(3),
            }),
        }
    }

    /// The host's ports for the network process.
    pub fn ports(&self) -> Vec<banger_net_control::Publish> {
        let port = |route: &Route| banger_net_control::Publish {
            door: self.door.filter(|_| is_relayed(&route.publish)),
            ..banger_net_control::Publish::new(
                route.publish.host_ip,
                route.publish.host_port,
                route.to,
            )
        };
        self.routes.iter().map(port).collect()
    }

    /// Tells whether the guest reaches this host's own services. QEMU's user network passes every address on, and offers the
    /// host's loopback as its gateway; a network process does so when everything is allowed.
    pub fn reaches_host(&self) -> bool {
        self.egress == Egress::All
    }

    /// The published port that leads to a server at `address` and `port` of the guest.
    pub fn leading_to(&self, address: IpAddr, port: u16) -> Option<&Publish> {
        let everywhere = address.is_unspecified() || address == self.guest;
        let loopback = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        let mut published = self.routes.iter().map(|route| &route.publish);
        published.find(|one| {
            one.guest_port == port && (everywhere || is_relayed(one) && loopback.contains(&address))
        })
    }
}

fn is_relayed(one: &Publish) -> bool {
    one.host_ip.is_loopback()
}

/// The ways of these ports where a door stands for the relays.
fn direct(publish: &[Publish]) -> Vec<Route> {
    let route = |one: &Publish| Route {
        publish: one.clone(),
        to: one.guest_port,
    };
    publish.iter().map(route).collect()
}

/// The ways of these ports, and the relays that some of them lead through.
fn routes(publish: &[Publish]) -> (Vec<Route>, Vec<Relay>) {
    let is_wanted = |at: u16| publish.iter().any(|one| one.guest_port == at);
    let mut free = (LOWEST_RELAY..=u16::MAX).rev().filter(|at| !is_wanted(*at));
    let mut relays: Vec<Relay> = Vec::new();
    for port in publish.iter().filter(|one| is_relayed(one)) {
        let port = port.guest_port;
        if relays.iter().all(|relay| relay.port != port) {
            relays.extend(free.next().map(|at| Relay { at, port }));
        }
    }
    let to = |one: &Publish| {
        let relay = relays.iter().find(|relay| relay.port == one.guest_port);
        relay
            .filter(|_| is_relayed(one))
            .map_or(one.guest_port, |relay| relay.at)
    };
    let route = |one: &Publish| Route {
        publish: one.clone(),
        to: to(one),
    };
    (publish.iter().map(route).collect(), relays)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn published(ports: &[&str]) -> Vec<Publish> {
        ports.iter().map(|one| one.parse().unwrap()).collect()
    }

    /// The guest's port for each published one, and the relays.
    fn ways(ports: &[&str]) -> (Vec<u16>, Vec<(u16, u16)>) {
        let (routes, relays) = routes(&published(ports));
        (
            routes.iter().map(|route| route.to).collect(),
            relays.iter().map(|relay| (relay.at, relay.port)).collect(),
        )
    }

    #[test]
    fn every_port_at_loopback_has_a_relay_and_one_port_has_one() {
        assert_eq!(ways(&[]), (vec![], vec![]));
        assert_eq!(
            ways(&["8080:80", "8443:443", "127.0.0.2:8080:80"]),
            (vec![65535, 65534, 65535], vec![(65535, 80), (65534, 443)])
        );
    }

    #[test]
    fn no_relay_is_at_a_port_that_a_server_is_expected_at() {
        assert_eq!(
            ways(&["1024:65535", "0.0.0.0:1025:65534"]),
            (vec![65533, 65534], vec![(65533, 65535)])
        );
    }

    #[test]
    fn what_other_machines_reach_has_no_relay() {
        assert_eq!(
            ways(&["0.0.0.0:80:80", "192.0.2.1:81:81", "8080:80"]),
            (vec![80, 81, 65535], vec![(65535, 80)])
        );
    }

    fn plan(ports: &[&str], egress: Egress) -> NetPlan {
        let (routes, relays) = routes(&published(ports));
        NetPlan {
            mac: [0x52, 0x54, 0, 1, 2, 3],
            stack: NetStack::Slirp,
            guest: GUEST.into(),
            guest_v6: None,
            prefix: PREFIX,
            gateway: GATEWAY.into(),
            resolver: None,
            egress,
            routes,
            relays,
            door: None,
        }
    }

    #[test]
    fn a_listener_is_reached_where_a_way_leads_to_its_address() {
        let plan = plan(&["0.0.0.0:80:80", "8080:80", "0.0.0.0:81:81"], Egress::All);
        let at = |address: &str, port| {
            let found = plan.leading_to(address.parse().unwrap(), port);
            found.map_or_else(String::new, ToString::to_string)
        };
        assert_eq!(at("0.0.0.0", 80), "0.0.0.0:80:80");
        assert_eq!(at(&GUEST.to_string(), 80), "0.0.0.0:80:80");
        assert_eq!(at("127.0.0.1", 80), "127.0.0.1:8080:80");
        assert_eq!(at("::1", 80), "127.0.0.1:8080:80");
        assert_eq!(at("::", 81), "0.0.0.0:81:81");
        for (address, port) in [("127.0.0.1", 81), ("127.0.0.53", 80), ("0.0.0.0", 82)] {
            assert_eq!(at(address, port), "", "{address} {port}");
        }
    }

    #[test]
    fn the_device_listens_at_the_hosts_ports_and_leads_to_the_relays() {
        let NetSpec::User {
            egress, publish, ..
        } = plan(&["8080:80", "0.0.0.0:81:81"], Egress::None).device()
        else {
            panic!("a VM with a network has a device");
        };
        let ports: Vec<_> = publish
            .iter()
            .map(|p| (p.host_port, p.guest_port))
            .collect();
        assert_eq!((egress, ports), (false, vec![(8080, 65535), (81, 81)]));
    }

    #[test]
    fn a_network_process_has_the_host_ports_in_the_vmms_place() {
        let plan = NetPlan {
            stack: NetStack::Own,
            ..plan(&["8080:80"], Egress::Public)
        };
        assert_eq!(
            plan.device(),
            NetSpec::Datagrams {
                mac: plan.mac,
                mtu: MTU
            }
        );
        assert_eq!(plan.link().mac, Some(plan.mac));
        let ports = plan.ports();
        assert_eq!((ports[0].host_port, ports[0].guest_port), (8080, 65535));
        assert_eq!(ports[0].door, None);
    }

    #[test]
    fn a_door_stands_for_the_relays_and_not_for_what_other_machines_reach() {
        let published = published(&["8080:80", "0.0.0.0:81:81"]);
        let plan = NetPlan {
            stack: NetStack::Own,
            routes: direct(&published),
            relays: Vec::new(),
            door: Some(65535),
            ..plan(&[], Egress::Public)
        };
        let ports: Vec<_> = plan
            .ports()
            .iter()
            .map(|port| (port.host_port, port.guest_port, port.door))
            .collect();
        assert_eq!(ports, [(8080, 80, Some(65535)), (81, 81, None)]);
    }
}
