//! Ways of published ports into their guest.
//!
//! ```text
//! 127.0.0.1:8080 ─► the agent's relay at a high port ─► the server, wherever in the guest it listens
//! 0.0.0.0:8080  ─────────────────────────────────────► the server, when it listens at the guest's own address
//! ```
//!
//! Connections from other machines do not go through the relay. So the server sees their real address, and a server that
//! listens only on the guest's loopback, and trusts everyone there, is never exposed to a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use banger_api::vm::{NetMode, Publish};
use banger_api::{ApiError, ErrorCode};
use banger_ops::Relay;

/// Relays are above the ports that Linux gives to outgoing connections (`ip_local_port_range`, ip(7)): 4536 of them.
const LOWEST: u16 = 61_000;

/// The ways of one VM's ports: always the same for the same ports.
pub(super) struct Ways(Vec<Relay>);

impl Ways {
    pub(super) fn of(publish: &[Publish]) -> Self {
        let is_wanted = |at: u16| publish.iter().any(|one| one.guest_port == at);
        let mut free = (LOWEST..=u16::MAX).rev().filter(|at| !is_wanted(*at));
        let mut relays: Vec<Relay> = Vec::new();
        for port in publish.iter().filter(|one| is_relayed(one)) {
            let port = port.guest_port;
            if relays.iter().all(|relay| relay.port != port) {
                relays.extend(free.next().map(|at| Relay { at, port }));
            }
        }
        Self(relays)
    }

    /// The port of the guest that `one` is forwarded to.
    pub(super) fn forwarded_to(&self, one: &Publish) -> u16 {
        let relay = self.0.iter().find(|relay| relay.port == one.guest_port);
        match relay.filter(|_| is_relayed(one)) {
            Some(relay) => relay.at,
            None => one.guest_port,
        }
    }

    pub(super) fn relays(self) -> Vec<Relay> {
        self.0
    }
}

/// Refuses what cannot be published.
///
/// # Errors
/// `invalid_argument`: there is no network, or a port of the host is named twice.
pub(super) fn check_ports(net: NetMode, publish: &[Publish]) -> Result<(), ApiError> {
    if net == NetMode::None && !publish.is_empty() {
        let message = format!(
            "port {} cannot be published: the VM has no network",
            publish[0].guest_port
        );
        let hint = "--net user gives it one, where --net or network.mode in config.toml says none; or leave out --publish";
        return Err(ApiError::new(ErrorCode::InvalidArgument, message).hint(hint));
    }
    for (n, one) in publish.iter().enumerate() {
        let same =
            |other: &Publish| (other.host_ip, other.host_port) == (one.host_ip, one.host_port);
        if publish[..n].iter().any(same) {
            let message = format!("host port {} is published twice", one.host_port);
            return Err(ApiError::new(ErrorCode::InvalidArgument, message));
        }
    }
    Ok(())
}

fn is_relayed(one: &Publish) -> bool {
    one.host_ip.is_loopback()
}

/// The published port that leads to a server at `address` and `port` of the guest. `guest` is the guest's own address.
pub fn leading_to(
    publish: &[Publish],
    guest: IpAddr,
    address: IpAddr,
    port: u16,
) -> Option<&Publish> {
    let everywhere = address.is_unspecified() || address == guest;
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    publish.iter().find(|one| {
        one.guest_port == port && (everywhere || is_relayed(one) && loopback.contains(&address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(ports: &[&str]) -> Vec<Publish> {
        ports.iter().map(|one| one.parse().unwrap()).collect()
    }

    /// The guest's port for each published one, and the relays.
    fn ways(ports: &[&str]) -> (Vec<u16>, Vec<(u16, u16)>) {
        let publish = published(ports);
        let ways = Ways::of(&publish);
        let forwarded = publish.iter().map(|one| ways.forwarded_to(one)).collect();
        let relays = ways.relays();
        (forwarded, relays.iter().map(|r| (r.at, r.port)).collect())
    }

    #[test]
    fn what_cannot_be_published_is_refused_by_its_port() {
        let refused = |net, ports: &[&str]| match check_ports(net, &published(ports)) {
            Ok(()) => String::new(),
            Err(error) => error.message,
        };
        assert_eq!(refused(NetMode::User, &["80:80", "127.0.0.2:80:80"]), "");
        assert_eq!(refused(NetMode::None, &[]), "");
        assert!(refused(NetMode::None, &["80:8080"]).contains("port 8080"));
        assert!(refused(NetMode::User, &["80:1", "80:2"]).contains("port 80"));
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

    #[test]
    fn a_listener_is_reached_where_a_way_leads_to_its_address() {
        let publish = published(&["0.0.0.0:80:80", "8080:80", "0.0.0.0:81:81"]);
        let guest = "10.0.2.15".parse().unwrap();
        let at = |address: &str, port| {
            let found = leading_to(&publish, guest, address.parse().unwrap(), port);
            found.map_or_else(String::new, ToString::to_string)
        };
        assert_eq!(at("0.0.0.0", 80), "0.0.0.0:80:80");
        assert_eq!(at("10.0.2.15", 80), "0.0.0.0:80:80");
        assert_eq!(at("127.0.0.1", 80), "127.0.0.1:8080:80");
        assert_eq!(at("::1", 80), "127.0.0.1:8080:80");
        assert_eq!(at("::", 81), "0.0.0.0:81:81");
        for (address, port) in [("127.0.0.1", 81), ("127.0.0.53", 80), ("0.0.0.0", 82)] {
            assert_eq!(at(address, port), "", "{address} {port}");
        }
    }
}
