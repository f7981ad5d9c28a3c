//! Packets that the process makes itself: refusals, echoes, neighbours, datagrams.

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv4Repr, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpAddress,
    IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};

use crate::packet::Packet;

/// Hops of what the process sends.
const HOPS: u8 = 64;
/// Bytes of a refused packet that are sent back, its header among them: RFC 792 wants 8 behind the header, RFC 4443 all
/// that fits.
const QUOTED_BYTES: usize = 576 - 48;

/// Cause of a refusal by ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The policy.
    Prohibited,
    /// The destination was not reached.
    Host,
    /// The destination has nothing at the port.
    Port,
}

impl Refusal {
    fn code(self, v6: bool) -> u8 {
        match (self, v6) {
            // RFC 1812, 5.2.7.1; RFC 4443, 3.1.
            (Self::Prohibited, false) => 13,
            (Self::Prohibited, true) => 1,
            (Self::Host, false) => 1,
            (Self::Host, true) => 3,
            (Self::Port, false) => 3,
            (Self::Port, true) => 4,
        }
    }
}

/// An IP packet of ours: header and room for the payload.
fn packet(
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    length: usize,
    hops: u8,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let (from, to): (IpAddress, IpAddress) = (source.into(), destination.into());
    let header = IpRepr::new(from, to, protocol, length, hops);
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut bytes, &ChecksumCapabilities::default());
    let at = header.header_len();
    fill(&mut bytes[at..]);
    bytes
}

/// A datagram to the guest.
pub(crate) fn udp(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr {
        src_port: from.1,
        dst_port: to.1,
    };
    let length = repr.header_len() + payload.len();
    packet(from.0, to.0, IpProtocol::Udp, length, HOPS, |bytes| {
        repr.emit(
            &mut UdpPacket::new_unchecked(bytes),
            &from.0.into(),
            &to.0.into(),
            payload.len(),
            |room| room.copy_from_slice(payload),
            &ChecksumCapabilities::default(),
        );
    })
}

/// The reset that answers a TCP segment; none answers a reset (RFC 9293, 3.10.7.1).
pub(crate) fn reset(of: &Packet<'_>) -> Option<Vec<u8>> {
    let segment = TcpPacket::new_checked(of.payload).ok()?;
    if segment.rst() {
        return None;
    }
    let (control, seq, ack) = match segment.ack() {
        true => (TcpControl::Rst, segment.ack_number(), None),
        false => (
            TcpControl::Rst,
            smoltcp::wire::TcpSeqNumber(0),
            Some(segment.seq_number() + segment.segment_len()),
        ),
    };
    let repr = TcpRepr {
        src_port: segment.dst_port(),
        dst_port: segment.src_port(),
        control,
        seq_number: seq,
        ack_number: ack,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None, None, None],
        timestamp: None,
        payload: &[],
    };
    let (from, to) = (of.destination, of.source);
    let length = repr.buffer_len();
    Some(packet(from, to, IpProtocol::Tcp, length, HOPS, |bytes| {
        repr.emit(
            &mut TcpPacket::new_unchecked(bytes),
            &from.into(),
            &to.into(),
            &ChecksumCapabilities::default(),
        );
    }))
}

/// The ICMP message that answers a packet, from the gateway of its family.
pub(crate) fn refuse(of: &[u8], gateway: IpAddr, guest: IpAddr, refusal: Refusal) -> Vec<u8> {
    let quoted = &of[..of.len().min(QUOTED_BYTES)];
    let length = 8 + quoted.len();
    match gateway {
        IpAddr::V4(_) => packet(gateway, guest, IpProtocol::Icmp, length, HOPS, |bytes| {
            bytes[8..].copy_from_slice(quoted);
            let mut message = Icmpv4Packet::new_unchecked(bytes);
            message.set_msg_type(Icmpv4Message::DstUnreachable);
            message.set_msg_code(refusal.code(false));
            message.fill_checksum();
        }),
        IpAddr::V6(from) => {
            let fill = |bytes: &mut [u8]| {
                bytes[8..].copy_from_slice(quoted);
                let mut message = Icmpv6Packet::new_unchecked(bytes);
                message.set_msg_type(Icmpv6Message::DstUnreachable);
                message.set_msg_code(refusal.code(true));
                if let IpAddr::V6(to) = guest {
                    message.fill_checksum(&from, &to);
                }
            };
            packet(gateway, guest, IpProtocol::Icmpv6, length, HOPS, fill)
        }
    }
}

/// An echo reply.
pub(crate) fn echo_reply(
    from: IpAddr,
    to: IpAddr,
    ident: u16,
    seq_no: u16,
    data: &[u8],
) -> Option<Vec<u8>> {
    match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let repr = Icmpv4Repr::EchoReply {
                ident,
                seq_no,
                data,
            };
            let length = repr.buffer_len();
            Some(packet(from, to, IpProtocol::Icmp, length, HOPS, |bytes| {
                repr.emit(
                    &mut Icmpv4Packet::new_unchecked(bytes),
                    &ChecksumCapabilities::default(),
                );
            }))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let repr = Icmpv6Repr::EchoReply {
                ident,
                seq_no,
                data,
            };
            Some(icmpv6(source, destination, HOPS, &repr))
        }
        _ => None,
    }
}

/// A message of ICMPv6.
pub(crate) fn icmpv6(
    from: std::net::Ipv6Addr,
    to: std::net::Ipv6Addr,
    hops: u8,
    repr: &Icmpv6Repr<'_>,
) -> Vec<u8> {
    let length = repr.buffer_len();
    let fill = |bytes: &mut [u8]| {
        repr.emit(
            &from,
            &to,
            &mut Icmpv6Packet::new_unchecked(bytes),
            &ChecksumCapabilities::default(),
        );
    };
    packet(
        from.into(),
        to.into(),
        IpProtocol::Icmpv6,
        length,
        hops,
        fill,
    )
}

/// The refusals that a frame would get, by TCP and by ICMP, when nothing were allowed.
#[must_use]
pub fn refusals(frame: &[u8]) -> Vec<Vec<u8>> {
    let Ok((_, crate::packet::Frame::Ip(packet))) = crate::packet::parse(frame) else {
        return Vec::new();
    };
    let refused = refuse(
        packet.whole,
        packet.destination,
        packet.source,
        Refusal::Prohibited,
    );
    let mut all = vec![refused];
    if packet.protocol == IpProtocol::Tcp {
        all.extend(reset(&packet));
    }
    all
}
