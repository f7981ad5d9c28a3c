//! Listening sockets of the host's, bound here and given to a network process: its jail lets it bind none beyond those of its start.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::AsFd as _;
use std::time::Duration;

use banger_api::vm::OpenPort;
use banger_api::{ApiError, ErrorCode};
use banger_guest::{Listener, TransportProtocol};
use banger_net_control::{Client, ControlError, NetIdentity, Publish};
use banger_ops::HostResult;

use crate::failure::chain;
use crate::host::conversation;

/// Time for an answer of a process that runs.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Servers of one guest that are opened: a guest can make any number of them listen.
const MOST: usize = 128;
/// Distance to the port of this host at which a server appears whose own port is the administrator's.
const MOVED: u16 = 10_000;

/// Has a process listen at exactly these ports, those at its VM's own address aside; answers with what it does not listen at. One
/// that has ended does nothing.
pub(crate) fn set_published(
    net: &NetIdentity,
    ports: &[Publish],
    address: Option<Ipv4Addr>,
) -> HostResult<Vec<(Publish, String)>> {
    let told = |error: &ControlError| {
        let message = format!("the VM's network process: {}", chain(error));
        ApiError::new(ErrorCode::Internal, message)
    };
    let client = Client::with(net, ANSWER_WITHIN).map_err(|error| told(&error))?;
    let Some(mut client) = client else {
        return Ok(Vec::new());
    };
    let own = address.map(IpAddr::V4);
    settle(&mut client, ports, |port| Some(port.host_ip) != own).map_err(|error| told(&error))
}

/// Lets a process listen at exactly those of the wanted ports among the ones that `is_meant` names.
fn settle(
    client: &mut Client,
    wanted: &[Publish],
    is_meant: impl Fn(&Publish) -> bool,
) -> Result<Vec<(Publish, String)>, ControlError> {
    let mut listens = BTreeSet::new();
    for present in client.status()?.publish {
        if !is_meant(&present.port) {
            continue;
        }
        match present.failure.is_none() && wanted.contains(&present.port) {
            true => drop(listens.insert(key(&present.port))),
            false => client.unpublish(present.port)?,
        }
    }
    let mut failed = Vec::new();
    let missing = wanted.iter().filter(|port| !listens.contains(&key(port)));
    for port in missing {
        match TcpListener::bind((port.host_ip, port.host_port)) {
            Ok(listener) => client.publish(*port, listener.as_fd())?,
            Err(error) => failed.push((*port, error.to_string())),
        }
    }
    Ok(failed)
}

fn key(port: &Publish) -> (IpAddr, u16) {
    (port.host_ip, port.host_port)
}

/// The place of one VM's servers on this host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Address of the VM.
    pub(super) address: Ipv4Addr,
    /// Port of the guest's agent for all others.
    pub(super) door: u16,
    /// Address of the guest in its own network.
    pub(super) guest: IpAddr,
    /// User whose connections are taken.
    pub(super) uid: u32,
    /// First port of this host that the user may listen at.
    pub(super) first: u16,
}

impl Place {
    /// Has the process listen for these servers, and no others any more.
    pub(super) fn open(
        &self,
        net: &NetIdentity,
        listeners: &[Listener],
    ) -> HostResult<Vec<OpenPort>> {
        let told = |error: &ControlError| ApiError::new(ErrorCode::Internal, chain(error));
        let Some(mut client) = conversation(net, ANSWER_WITHIN)? else {
            let message = "another network process listens in its place";
            return Err(ApiError::new(ErrorCode::Internal, message));
        };
        let (wanted, mut open) = self.wanted(listeners);
        if !wanted.is_empty() {
            let netlink = banger_net::diagnosis().map_err(|error| {
                let message = format!("the users of connections cannot be seen: {error}");
                ApiError::new(ErrorCode::HostNotReady, message)
            })?;
            client
                .see_users(netlink.as_fd())
                .map_err(|error| told(&error))?;
        }
        let address = IpAddr::V4(self.address);
        let failed = settle(&mut client, &wanted, |port| port.host_ip == address)
            .map_err(|error| told(&error))?;
        for port in wanted {
            let failure = failed.iter().find(|(one, _)| *one == port);
            open.push(OpenPort {
                guest_port: port.guest_port,
                at: failure
                    .is_none()
                    .then(|| format!("{address}:{}", port.host_port)),
                failure: failure.map(|(_, cause)| cause.clone()),
            });
        }
        Ok(open)
    }

    /// Ports for what listens, and what gets none.
    fn wanted(&self, listeners: &[Listener]) -> (Vec<Publish>, Vec<OpenPort>) {
        let ports: BTreeSet<u16> = listeners
            .iter()
            .filter(|one| one.protocol == TransportProtocol::Tcp && self.is_reached(one.address))
            .map(|one| one.port)
            .filter(|port| *port != self.door && *port != 0)
            .take(MOST)
            .collect();
        let (mut wanted, mut none) = (Vec::new(), Vec::new());
        for port in &ports {
            let at = match *port < self.first {
                false => *port,
                true => port.saturating_add(MOVED),
            };
            if at != *port && ports.contains(&at) {
                none.push(OpenPort {
                    guest_port: *port,
                    at: None,
                    failure: Some(format!("another server of the guest listens at {at}")),
                });
                continue;
            }
            wanted.push(Publish {
                door: Some(self.door),
                only_uid: Some(self.uid),
                ..Publish::new(self.address.into(), at, *port)
            });
        }
        (wanted, none)
    }

    /// Tells whether the agent reaches a server at this address of the guest.
    fn is_reached(&self, address: IpAddr) -> bool {
        let loopback = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        address.is_unspecified() || address == self.guest || loopback.contains(&address)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        address: Ipv4Addr::new(127, 83, 1, 2),
        door: 65_535,
        guest: IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15)),
        uid: 1000,
        first: 1024,
    };

    fn listener(address: &str, port: u16) -> Listener {
        Listener {
            protocol: TransportProtocol::Tcp,
            address: address.parse().unwrap(),
            port,
            pid: None,
            process: None,
        }
    }

    #[test]
    fn servers_keep_their_ports_and_those_of_the_administrator_are_moved() {
        let listeners = [
            listener("0.0.0.0", 80),
            listener("::", 80),
            listener("127.0.0.1", 3000),
            listener("::1", 5432),
            listener("10.0.2.15", 8080),
        ];
        let (wanted, none) = PLACE.wanted(&listeners);
        let ports: Vec<_> = wanted
            .iter()
            .map(|port| (port.host_port, port.guest_port))
            .collect();
        assert_eq!(
            ports,
            [(10_080, 80), (3000, 3000), (5432, 5432), (8080, 8080)]
        );
        assert!(none.is_empty(), "{none:?}");
        let one = wanted[0];
        assert_eq!((one.door, one.only_uid), (Some(65_535), Some(1000)));
        let (wanted, _) = Place { first: 0, ..PLACE }.wanted(&listeners);
        assert_eq!(wanted[0].host_port, 80);
    }

    #[test]
    fn what_the_agent_does_not_reach_or_is_its_own_gets_no_port() {
        let udp = Listener {
            protocol: TransportProtocol::Udp,
            ..listener("0.0.0.0", 53)
        };
        let listeners = [
            listener("127.0.0.53", 53),
            listener("172.17.0.1", 8080),
            listener("10.0.2.15", 65_535),
            udp,
        ];
        let (wanted, none) = PLACE.wanted(&listeners);
        assert_eq!((wanted.len(), none.len()), (0, 0), "{wanted:?} {none:?}");
    }

    #[test]
    fn a_moved_port_makes_room_for_a_server_that_is_there() {
        let (wanted, none) = PLACE.wanted(&[listener("::", 22), listener("::", 10_022)]);
        assert_eq!(wanted.len(), 1);
        assert_eq!(
            (wanted[0].host_port, wanted[0].guest_port),
            (10_022, 10_022)
        );
        assert_eq!((none.len(), none[0].guest_port), (1, 22));
    }

    #[test]
    fn a_guest_opens_so_many_and_no_more() {
        let all: Vec<Listener> = (2000..4000).map(|port| listener("::", port)).collect();
        assert_eq!(PLACE.wanted(&all).0.len(), MOST);
    }
}
