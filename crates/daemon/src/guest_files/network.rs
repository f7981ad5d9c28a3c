//! `/etc/resolv.conf`, the interface and the relays of published ports, from the VM's network plan.

use std::net::SocketAddr;

use banger_api::ApiError;
use banger_api::vm::NetStack;
use banger_guest::{Door, GuestFile, Interface, InterfaceAddress, MacAddr, Net, Relay};

use super::configure::{Context, editable};

pub(super) fn files(cx: &Context<'_>) -> Result<Vec<GuestFile>, ApiError> {
    let network = cx.setup.network.as_ref();
    let text = match network.and_then(|plan| plan.resolver) {
        Some(resolver) => {
            let is_own = network.is_some_and(|plan| plan.stack == NetStack::Own);
            // A network process asks the configured one itself.
            let dns = cx.dns.filter(|_| !is_own);
            format!("nameserver {}\n", dns.unwrap_or(resolver))
        }
        None => "# This VM has no network beyond itself.\n".to_owned(),
    };
    // Often a link to what a resolver of the image would write, below /run and not there. A plain file is what resolvers
    // respect (systemd-resolved.service(8), "/etc/resolv.conf"), and what is there without any.
    let text = format!("# Written by banger at each start, until you edit it.\n{text}");
    Ok(vec![editable("/etc/resolv.conf", text)?])
}

pub(super) fn interfaces(cx: &Context<'_>) -> Option<Net> {
    let plan = cx.setup.network.as_ref()?;
    Some(Net {
        interfaces: vec![Interface {
            mac: MacAddr(plan.mac),
            addresses: std::iter::once((plan.guest, plan.prefix))
                .chain(plan.guest_v6.map(|(ip, prefix)| (ip.into(), prefix)))
                .map(|(ip, prefix)| InterfaceAddress { ip, prefix })
                .collect(),
            gateway: Some(plan.gateway),
            mtu: None,
        }],
    })
}

/// Connections that the host forwards come from the gateway's address, when they came to the host's loopback.
pub(super) fn relays(cx: &Context<'_>) -> Vec<Relay> {
    let Some(plan) = &cx.setup.network else {
        return Vec::new();
    };
    let relay = |one: &banger_ops::Relay| Relay {
        listen: SocketAddr::new(plan.guest, one.at),
        from: plan.gateway,
        port: one.port,
    };
    plan.relays.iter().map(relay).collect()
}

/// The way for the network process to all servers of the guest.
pub(super) fn door(cx: &Context<'_>) -> Option<Door> {
    let plan = cx.setup.network.as_ref()?;
    Some(Door {
        listen: SocketAddr::new(plan.guest, plan.door?),
        from: plan.gateway,
    })
}
