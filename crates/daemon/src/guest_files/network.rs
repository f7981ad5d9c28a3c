//! `/etc/resolv.conf` and the interface.
//!
//! QEMU's user network is a fixed one (QEMU manual, "Using the user mode network stack"): the guest is 10.0.2.15/24,
//! the gateway 10.0.2.2, and 10.0.2.3 answers names with the host's own resolver.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use banger_api::ApiError;
use banger_api::vm::{Egress, NetMode};
use banger_guest::{GuestFile, Interface, InterfaceAddress, MacAddr, Net, Relay};

use super::configure::{Context, editable};

/// The guest's own address.
pub(crate) const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
const PREFIX: u8 = 24;
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3));

pub(super) fn files(cx: &Context<'_>) -> Result<Vec<GuestFile>, ApiError> {
    // Without a way out a name server would only be waited for.
    let reachable = cx.setup.net == NetMode::User && cx.setup.egress == Egress::All;
    let text = match reachable {
        true => format!("nameserver {}\n", cx.dns.unwrap_or(NAME_SERVER)),
        false => "# This VM has no network beyond itself.\n".to_owned(),
    };
    // Often a link to what a resolver of the image would write, below /run and not there. A plain file is what resolvers
    // respect (systemd-resolved.service(8), "/etc/resolv.conf"), and what is there without any.
    let text = format!("# Written by banger at each start, until you edit it.\n{text}");
    Ok(vec![editable("/etc/resolv.conf", text)?])
}

pub(super) fn interfaces(cx: &Context<'_>) -> Option<Net> {
    if cx.setup.net == NetMode::None {
        return None;
    }
    Some(Net {
        interfaces: vec![Interface {
            mac: MacAddr(cx.setup.mac),
            addresses: vec![InterfaceAddress {
                ip: GUEST,
                prefix: PREFIX,
            }],
            gateway: Some(GATEWAY),
            mtu: None,
        }],
    })
}

/// Connections that QEMU forwards come from the gateway's address, when they came to the host's loopback.
pub(super) fn relays(cx: &Context<'_>) -> Vec<Relay> {
    let relay = |one: &banger_ops::Relay| Relay {
        listen: SocketAddr::new(GUEST, one.at),
        from: GATEWAY,
        port: one.port,
    };
    cx.setup.relays.iter().map(relay).collect()
}
