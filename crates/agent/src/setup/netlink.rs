//! The few routing messages that we send (rtnetlink(7), netlink(7)): a header, a fixed part, attributes; the kernel
//! answers each with an acknowledgement.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const IFF_UP: u32 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A socket to the kernel's routing.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// An address that an interface has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAddress {
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network's prefix.
    pub prefix: u8,
    /// It is valid on its link only; the kernel makes those.
    pub link_local: bool,
}

impl Netlink {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel has none.
    pub fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Brings a link up, and sets its MTU.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bring_up(&mut self, index: u32, mtu: Option<u32>) -> io::Result<()> {
        let mut body = vec![0, 0, 0, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        body.extend_from_slice(&IFF_UP.to_ne_bytes());
        body.extend_from_slice(&IFF_UP.to_ne_bytes());
        if let Some(mtu) = mtu {
            attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
        }
        self.request(RTM_NEWLINK, 0, &body)
    }

    /// Gives a link an address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> io::Result<()> {
        let mut body = address_head(index, ip, prefix);
        attribute(&mut body, IFA_LOCAL, &octets(ip));
        attribute(&mut body, IFA_ADDRESS, &octets(ip));
        if ip.is_ipv6() {
            // Nobody else can have it, so there is nothing to wait for.
            attribute(&mut body, IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes());
        }
        self.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body)
    }

    /// Takes an address from a link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> io::Result<()> {
        let mut body = address_head(index, ip, prefix);
        attribute(&mut body, IFA_LOCAL, &octets(ip));
        self.request(RTM_DELADDR, 0, &body)
    }

    /// Makes the default route lead to a gateway.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_default_route(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let mut body = vec![
            family(gateway),
            0,
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_STATIC,
            RT_SCOPE_UNIVERSE,
            RTN_UNICAST,
            0,
            0,
            0,
            0,
        ];
        attribute(&mut body, RTA_GATEWAY, &octets(gateway));
        attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
        self.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body)
    }

    /// All addresses of a link.
    ///
    /// # Errors
    /// The kernel's.
    pub fn addresses(&mut self, index: u32) -> io::Result<Vec<KnownAddress>> {
        self.send(RTM_GETADDR, NLM_F_DUMP, &[0; 8])?;
        let mut found = Vec::new();
        loop {
            for (kind, body) in messages(&self.receive()?) {
                match kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => return acknowledged(&body).map(|()| found),
                    RTM_NEWADDR => found.extend(known_address(&body, index)),
                    _ => {}
                }
            }
        }
    }

    fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.send(kind, flags | NLM_F_ACK, body)?;
        loop {
            for (kind, body) in messages(&self.receive()?) {
                if kind == NLMSG_ERROR {
                    return acknowledged(&body);
                }
            }
        }
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let len = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = len.to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(body);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 64 * 1024];
        let (len, _) = rustix::net::recv(&self.socket, &mut bytes[..], RecvFlags::empty())?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn address_head(index: u32, ip: IpAddr, prefix: u8) -> Vec<u8> {
    let mut body = vec![family(ip), prefix, 0, RT_SCOPE_UNIVERSE];
    body.extend_from_slice(&index.to_ne_bytes());
    body
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // Values here have at most 16 bytes.
    let len = u16::try_from(value.len() + 4).unwrap_or(4);
    to.extend_from_slice(&len.to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Kind and body of each message.
fn messages(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let (Some(len), Some(kind)) = (word(rest, 0), half(rest, 4)) {
        let len = len as usize;
        if len < 16 || len > rest.len() {
            break;
        }
        found.push((kind, rest[16..len].to_vec()));
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// An error message of number 0 says that all went well.
fn acknowledged(body: &[u8]) -> io::Result<()> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}

fn known_address(body: &[u8], index: u32) -> Option<KnownAddress> {
    let (prefix, scope) = (*body.get(1)?, *body.get(3)?);
    if word(body, 4)? != index {
        return None;
    }
    let mut rest = body.get(8..)?;
    let mut ip = None;
    while let (Some(len), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let value = rest.get(4..usize::from(len))?;
        // IFA_LOCAL is the interface's own; version 6 has IFA_ADDRESS alone.
        if kind == IFA_LOCAL || (kind == IFA_ADDRESS && ip.is_none()) {
            ip = <[u8; 4]>::try_from(value)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
                .ok();
        }
        rest = rest
            .get(usize::from(len).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Some(KnownAddress {
        ip: ip?,
        prefix,
        link_local: scope == RT_SCOPE_LINK,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_of_this_machine_is_read() {
        let mut netlink = Netlink::open().unwrap();
        let index = rustix::net::netdevice::name_to_index(&netlink.socket, "lo").unwrap();
        let addresses = netlink.addresses(index).unwrap();
        assert!(
            addresses
                .iter()
                .any(|known| known.ip == IpAddr::from([127, 0, 0, 1]) && known.prefix == 8)
        );
    }

    #[test]
    fn a_refusal_of_the_kernel_is_an_error_with_its_number() {
        let error = Netlink::open()
            .unwrap()
            .add_address(999_999, IpAddr::from([192, 0, 2, 1]), 24)
            .unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }

    #[test]
    fn broken_messages_are_left_out() {
        for bytes in [
            &[][..],
            &[1],
            &[255; 16],
            &[8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(messages(bytes).is_empty());
        }
        assert!(acknowledged(&[]).is_err());
        assert!(known_address(&[2, 8, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0], 1).is_none());
    }
}
