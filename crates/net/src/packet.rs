//! Frames of the guest, taken apart. Every byte is hostile: each length is checked, and what is not wanted is an error.

use std::net::IpAddr;

use smoltcp::wire::{
    ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet,
    Ipv6Packet,
};

/// Length of an Ethernet header, bytes.
pub const ETHERNET_BYTES: usize = 14;

/// A frame that is not carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// A length in it does not fit.
    Malformed,
    /// It is neither ARP, IPv4 nor IPv6.
    OtherProtocol,
    /// A part of a packet: the guest's MTU makes none.
    Fragment,
}

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// ARP.
    Arp(ArpRepr),
    /// IP.
    Ip(Packet<'a>),
}

/// An IP packet without what came behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// Protocol of its payload. Extension headers of IPv6 are not looked behind.
    pub protocol: IpProtocol,
    /// Hops that it may go.
    pub hops: u8,
    /// The whole packet.
    pub whole: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

/// Takes a frame apart; answers with its sender's hardware address too.
///
/// # Errors
/// [`Unwanted`].
pub fn parse(frame: &[u8]) -> Result<(EthernetAddress, Frame<'_>), Unwanted> {
    let malformed = |_error| Unwanted::Malformed;
    let frame = EthernetFrame::new_checked(frame).map_err(malformed)?;
    let source = frame.src_addr();
    let frame = match frame.ethertype() {
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(frame.payload()).map_err(malformed)?;
            Frame::Arp(ArpRepr::parse(&packet).map_err(malformed)?)
        }
        EthernetProtocol::Ipv4 => Frame::Ip(ipv4(frame.payload())?),
        EthernetProtocol::Ipv6 => Frame::Ip(ipv6(frame.payload())?),
        EthernetProtocol::Unknown(_) => return Err(Unwanted::OtherProtocol),
    };
    Ok((source, frame))
}

/// Takes an IPv4 packet apart.
///
/// # Errors
/// [`Unwanted`].
pub fn ipv4(bytes: &[u8]) -> Result<Packet<'_>, Unwanted> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_error| Unwanted::Malformed)?;
    if packet.version() != 4 {
        return Err(Unwanted::Malformed);
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(Unwanted::Fragment);
    }
    let header = usize::from(packet.header_len());
    let (whole, payload) = cut(bytes, header, packet.total_len().into())?;
    Ok(Packet {
        source: packet.src_addr().into(),
        destination: packet.dst_addr().into(),
        protocol: packet.next_header(),
        hops: packet.hop_limit(),
        whole,
        payload,
    })
}

/// Takes an IPv6 packet apart.
///
/// # Errors
/// [`Unwanted`].
pub fn ipv6(bytes: &[u8]) -> Result<Packet<'_>, Unwanted> {
    let packet = Ipv6Packet::new_checked(bytes).map_err(|_error| Unwanted::Malformed)?;
    if packet.version() != 6 {
        return Err(Unwanted::Malformed);
    }
    if packet.next_header() == IpProtocol::Ipv6Frag {
        return Err(Unwanted::Fragment);
    }
    let (whole, payload) = cut(bytes, packet.header_len(), packet.total_len())?;
    Ok(Packet {
        source: packet.src_addr().into(),
        destination: packet.dst_addr().into(),
        protocol: packet.next_header(),
        hops: packet.hop_limit(),
        whole,
        payload,
    })
}

/// A packet without what came behind it, and its payload.
fn cut(bytes: &[u8], header: usize, total: usize) -> Result<(&[u8], &[u8]), Unwanted> {
    let whole = bytes.get(..total).ok_or(Unwanted::Malformed)?;
    let payload = whole.get(header..).ok_or(Unwanted::Malformed)?;
    Ok((whole, payload))
}
