//! Network set-up of a guest.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The network of a guest. The agent sets it with netlink; loopback always comes up. DNS servers are no part of it:
/// `/etc/resolv.conf` is a file like any other and is written by a [`super::GuestFile`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Net {
    /// The interfaces; each must exist.
    pub interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// MAC address of the interface.
    pub mac: MacAddr,
    /// Its addresses; all others that it has are removed.
    pub addresses: Vec<InterfaceAddress>,
    /// Next hop of the default route.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Largest packet, in bytes; default: the device's.
    #[serde(default)]
    pub mtu: Option<u32>,
}

/// An address with the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// Bits of the network's part.
    pub prefix: u8,
}

/// A published port: connections to `listen` are passed to the server at `port`, at any address of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Address at which the agent listens: of the guest, with a port that no other program is expected to use.
    pub listen: SocketAddr,
    /// Peer whose connections are passed on; those of others are closed.
    pub from: IpAddr,
    /// The port of the server: at the address of `listen`, else at 127.0.0.1, else at `::1`.
    pub port: u16,
}

/// A way for the host to the servers of a guest: connections to `listen` say first, in two bytes (big-endian), the port that they are
/// for, and are passed to the server there, at any address of the guest as by a [`Relay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Address at which the agent listens.
    pub listen: SocketAddr,
    /// Peer whose connections are passed on; those of others are closed.
    pub from: IpAddr,
}

/// A MAC address, written `aa:bb:cc:dd:ee:ff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

/// A text is not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address like 52:54:00:12:34:56")]
pub struct MacAddrError(String);

impl std::fmt::Display for MacAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::str::FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || MacAddrError(text.chars().take(40).collect());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or_else(refuse)?;
            *byte = u8::from_str_radix(part, 16).or(Err(refuse()))?;
        }
        if parts.next().is_some() {
            return Err(refuse());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddr {
    type Error = MacAddrError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_read_and_written() {
        let mac: MacAddr = "52:54:00:AB:34:56".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:34:56");
        for bad in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "5:54:00:12:34:56",
            "+2:54:00:12:34:zz",
        ] {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }
}
