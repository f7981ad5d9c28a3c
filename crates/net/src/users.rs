//! Users of the host: the one that has made a connection, asked of the kernel before a byte is carried.
//!
//! The netlink socket (sock_diag(7)) is the daemon's gift: the jail of this process lets it make none. The kernel answers in the
//! call that asks.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h): the type of question and answer.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` (linux/netlink.h).
const REQUEST: u16 = 1;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_req_v2`: family, protocol, two bytes, states; then the socket.
const QUESTION_BYTES: usize = 8 + SOCKET_BYTES;
/// `struct inet_diag_sockid`: two ports, two addresses, interface, cookie.
const SOCKET_BYTES: usize = 2 + 2 + 16 + 16 + 4 + 8;
/// In `struct inet_diag_msg`, from its begin: family and three bytes, the socket, three numbers; then user and inode.
const USER_AT: usize = HEADER_BYTES + 4 + SOCKET_BYTES + 12;
/// Other answers that may be left of an earlier question.
const STALE_MAX: usize = 8;

/// A netlink socket that tells the users of connections.
///
/// # Errors
/// The kernel has none, or the process may make none.
pub fn diagnosis() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(netlink::SOCK_DIAG);
    Ok(socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        flags,
        protocol,
    )?)
}

/// Refuses what is no netlink socket.
pub(crate) fn check(netlink: &OwnedFd) -> io::Result<()> {
    match sockopt::socket_domain(netlink)? {
        AddressFamily::NETLINK => Ok(()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The user that holds the other side of a connection of this host's: the socket from `peer` to `here`. `None` when no process
/// holds it any more, or it is another host's.
#[must_use]
pub fn of_connection(netlink: &OwnedFd, peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let question = question(peer, here)?;
    send(netlink, &question, SendFlags::DONTWAIT).ok()?;
    let mut answer = [0; 1024];
    for _ in 0..STALE_MAX {
        let (_, count) = recv(netlink, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
        let answer = answer.get(..count)?;
        // One that does not repeat the question is of another.
        if number(answer, 8) == number(&question, 8) {
            return user(answer);
        }
    }
    None
}

fn question(peer: SocketAddr, here: SocketAddr) -> Option<Vec<u8>> {
    let family = match (peer, here) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => libc::AF_INET,
        (SocketAddr::V6(_), SocketAddr::V6(_)) => libc::AF_INET6,
        _ => return None,
    };
    let length = HEADER_BYTES + QUESTION_BYTES;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).ok()?.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Its number: no other connection has these ports now.
    bytes.extend(peer.port().to_ne_bytes());
    bytes.extend(here.port().to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.push(u8::try_from(family).ok()?);
    bytes.push(u8::try_from(libc::IPPROTO_TCP).ok()?);
    bytes.extend([0, 0]);
    // In every state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(here.port().to_be_bytes());
    for address in [peer.ip(), here.ip()] {
        let mut room = [0; 16];
        match address {
            IpAddr::V4(v4) => room[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => room = v6.octets(),
        }
        bytes.extend(room);
    }
    bytes.extend(0_u32.to_ne_bytes());
    // Whatever its cookie (`INET_DIAG_NOCOOKIE`).
    bytes.extend([0xff; 8]);
    Some(bytes)
}

/// The user in an answer that is one. A socket that no process holds, which the kernel gives to root, has no inode.
fn user(answer: &[u8]) -> Option<u32> {
    let kind = answer.get(4..6)?;
    if kind != BY_FAMILY.to_ne_bytes() || number(answer, USER_AT + 4)? == 0 {
        return None;
    }
    number(answer, USER_AT)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_user_of_a_connection_is_whoever_holds_its_other_side() {
        let netlink = diagnosis().unwrap();
        check(&netlink).unwrap();
        let me = rustix::process::geteuid().as_raw();
        for address in ["127.83.1.2", "::1"] {
            let Ok(listener) = TcpListener::bind((address, 0)) else {
                assert_eq!(address, "::1", "a host without IPv6");
                continue;
            };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, peer) = listener.accept().unwrap();
            let here = stream.local_addr().unwrap();
            assert_eq!(of_connection(&netlink, peer, here), Some(me));
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(of_connection(&netlink, peer, here), Some(me));
            drop(client);
            // Nobody's: the kernel says root, which may be whom we wait for.
            assert_eq!(of_connection(&netlink, peer, here), None);
            let nobody = SocketAddr::new(peer.ip(), peer.port().wrapping_add(1).max(1));
            assert_eq!(of_connection(&netlink, nobody, here), None);
        }
    }

    #[test]
    fn another_socket_tells_no_users() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(check(&one.into()).is_err());
    }

    #[test]
    fn an_answer_that_is_cut_short_or_an_error_names_nobody() {
        let mut answer = vec![1; USER_AT + 8];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        assert_eq!(user(&answer), Some(0x0101_0101));
        for length in 0..answer.len() {
            assert_eq!(user(&answer[..length]), None, "{length}");
        }
        answer[4] = 2;
        assert_eq!(user(&answer), None);
    }
}
