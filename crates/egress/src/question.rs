//! Questions to a policy.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Name, Protocol};

/// Destination of a connection, as it is known before a packet leaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// An address that the guest chose itself.
    Address(IpAddr),
    /// A name that the guest asked for, and the address that the host found for it just now.
    Named {
        /// The name.
        name: Name,
        /// The address that will be connected to.
        address: IpAddr,
    },
    /// The host itself: its loopback, by whichever of the host's addresses the guest went.
    Host,
    /// Another VM.
    Vm(Name),
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// May this name be looked up?
    Lookup(Name),
    /// May this connection be opened, or this datagram be sent?
    Open {
        /// Its protocol.
        protocol: Protocol,
        /// Its destination.
        destination: Destination,
        /// Its port; 0 for ICMP.
        port: u16,
    },
}
