//! The two ends of what the guest has opened: a connection of TCP, or a pair of UDP.

use std::net::IpAddr;

use crate::packet::Packet;

/// Addresses and ports of both ends, as the guest sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ends {
    pub(crate) guest: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
}

impl Ends {
    /// Those of a packet of the guest's, from one port to another.
    pub(crate) fn of(packet: &Packet<'_>, from: u16, to: u16) -> Self {
        Self {
            guest: (packet.source, from),
            remote: (packet.destination, to),
        }
    }
}
