//! Packets of the guest's, by protocol. Only packets from the guest's own addresses are carried on.

use std::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetProtocol, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, NdiscNeighborFlags, NdiscRepr, NdiscRouterFlags, RawHardwareAddress,
};

use crate::answer::{self, Refusal};
use crate::packet::Packet;
use crate::process::Net;

/// Time for which the guest takes the gateway for its router; it asks again before.
const ROUTER_LIFETIME_SECONDS: u64 = 9000;
/// Hops of messages of neighbours (RFC 4861): from this link alone.
const NEIGHBOUR_HOPS: u8 = 255;

impl Net {
    /// Answers questions for the gateway's and the name server's hardware address. The guest's own claims change nothing.
    pub(crate) fn arp(&mut self, asked: &ArpRepr) {
        let ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        } = *asked
        else {
            return;
        };
        let v4 = self.config.guest.v4;
        if ![v4.gateway, v4.name_server].contains(&target_protocol_addr) {
            return;
        }
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: self.link.gateway_mac(),
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
        self.link.send_other(EthernetProtocol::Arp, &bytes);
    }

    /// Carries a packet on, or answers it.
    pub(crate) fn packet(&mut self, packet: &Packet<'_>) {
        let guest = self.config.guest;
        let is_guest = match packet.source {
            IpAddr::V4(source) => source == guest.v4.address,
            IpAddr::V6(source) => guest.v6.is_some_and(|v6| v6.address == source),
        };
        match (packet.protocol, is_guest) {
            (IpProtocol::Tcp, true) => self.segment(packet),
            (IpProtocol::Udp, true) => self.datagram(packet),
            (IpProtocol::Icmp, true) => self.icmpv4(packet),
            (IpProtocol::Icmpv6, _) => self.icmpv6(packet, is_guest),
            // Nothing else is carried; the guest is told so, but not about what goes to many.
            (_, true) if !is_to_many(packet.destination) => {
                self.refuse(packet, Refusal::Prohibited);
            }
            _ => self.gate.counters.dropped += 1,
        }
    }

    /// Answers a packet with an ICMP message.
    pub(crate) fn refuse(&mut self, packet: &Packet<'_>, refusal: Refusal) {
        self.refuse_bytes(packet.whole, packet.source, refusal);
    }

    /// Answers a packet that is kept as bytes.
    pub(crate) fn refuse_bytes(&mut self, whole: &[u8], guest: IpAddr, refusal: Refusal) {
        if let Some(gateway) = self.gateway(guest) {
            let answer = answer::refuse(whole, gateway, guest, refusal);
            self.link.send(&answer);
        }
    }

    fn icmpv4(&mut self, packet: &Packet<'_>) {
        let parsed = Icmpv4Packet::new_checked(packet.payload)
            .and_then(|message| Icmpv4Repr::parse(&message, &Default::default()));
        match parsed {
            Ok(Icmpv4Repr::EchoRequest {
                ident,
                seq_no,
                data,
            }) => self.echo(packet, ident, seq_no, data),
            // Errors about what was sent to it: TCP finds out by itself.
            Ok(_) => {}
            Err(_) => self.gate.counters.dropped += 1,
        }
    }

    fn icmpv6(&mut self, packet: &Packet<'_>, is_guest: bool) {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination)
        else {
            self.gate.counters.dropped += 1;
            return;
        };
        let parsed = Icmpv6Packet::new_checked(packet.payload).and_then(|message| {
            Icmpv6Repr::parse(&source, &destination, &message, &Default::default())
        });
        match parsed {
            Ok(Icmpv6Repr::Ndisc(message)) if packet.hops == NEIGHBOUR_HOPS => {
                self.neighbour(source, &message);
            }
            Ok(Icmpv6Repr::EchoRequest {
                ident,
                seq_no,
                data,
            }) if is_guest => self.echo(packet, ident, seq_no, data),
            Ok(_) => {}
            Err(_) => self.gate.counters.dropped += 1,
        }
    }

    /// Answers questions of neighbours and for routers.
    fn neighbour(&mut self, source: Ipv6Addr, message: &NdiscRepr<'_>) {
        let Some(v6) = self.config.guest.v6 else {
            return;
        };
        let router = link_local();
        let mac = RawHardwareAddress::from(self.link.gateway_mac());
        // Whoever has no address yet is answered at that of all nodes.
        let to = match source.is_unspecified() {
            true => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            false => source,
        };
        let (from, reply) = match message {
            NdiscRepr::NeighborSolicit { target_addr, .. }
                if [v6.gateway, v6.name_server, router].contains(target_addr) =>
            {
                let flags = NdiscNeighborFlags::ROUTER
                    | NdiscNeighborFlags::SOLICITED
                    | NdiscNeighborFlags::OVERRIDE;
                let reply = NdiscRepr::NeighborAdvert {
                    flags,
                    target_addr: *target_addr,
                    lladdr: Some(mac),
                };
                (*target_addr, reply)
            }
            NdiscRepr::RouterSolicit { .. } => {
                let reply = NdiscRepr::RouterAdvert {
                    hop_limit: 64,
                    flags: NdiscRouterFlags::empty(),
                    router_lifetime: smoltcp::time::Duration::from_secs(ROUTER_LIFETIME_SECONDS),
                    reachable_time: smoltcp::time::Duration::ZERO,
                    retrans_time: smoltcp::time::Duration::ZERO,
                    lladdr: Some(mac),
                    mtu: Some(self.config.guest.mtu.into()),
                    // No prefix: the guest's address is a fixed one.
                    prefix_info: None,
                };
                (router, reply)
            }
            _ => return,
        };
        let bytes = answer::icmpv6(from, to, NEIGHBOUR_HOPS, &Icmpv6Repr::Ndisc(reply));
        self.link.send(&bytes);
    }
}

/// The router's address on the link, from which RFC 4861 wants its advertisements.
fn link_local() -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2)
}

/// Tells whether more than one machine would get it.
pub(crate) fn is_to_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast() || v4.octets()[3] == 255,
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}
