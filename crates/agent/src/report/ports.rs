//! Sockets that wait for peers, from `/proc/net`, and the processes that hold them, from `/proc/PID/fd`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use banger_guest::{Failure, Listener, TransportProtocol};

use crate::failure::failure;

/// Listeners that are reported: an answer has a limit.
const MAX_LISTENERS: usize = 4096;
/// `TCP_LISTEN` and, for UDP, `TCP_CLOSE`: bound and not connected (net/tcp_states.h).
const LISTENING: (&str, &str) = ("0A", "07");

/// All listeners, sorted, but for those of this process at `hidden` addresses.
///
/// # Errors
/// `/proc/net/tcp` cannot be read.
pub fn listeners(hidden: &[SocketAddr]) -> Result<Vec<Listener>, Failure> {
    let tables = [
        ("tcp", TransportProtocol::Tcp),
        ("tcp6", TransportProtocol::Tcp),
        ("udp", TransportProtocol::Udp),
        ("udp6", TransportProtocol::Udp),
    ];
    let mut found = HashMap::new();
    for (table, protocol) in tables {
        match std::fs::read_to_string(format!("/proc/net/{table}")) {
            Ok(text) => found.extend(
                text.lines()
                    .skip(1)
                    .filter_map(|line| parse(line, protocol)),
            ),
            Err(error) if table == "tcp" => {
                return Err(failure("ports", "read /proc/net/tcp", error));
            }
            // A kernel without IPv6.
            Err(_) => {}
        }
    }
    if !found.is_empty() {
        name_owners(&mut found);
    }
    let ours = |listener: &Listener| {
        listener.pid == Some(std::process::id())
            && hidden.contains(&SocketAddr::new(listener.address, listener.port))
    };
    let mut listeners: Vec<Listener> = found
        .into_values()
        .filter(|listener| !ours(listener))
        .collect();
    listeners.sort();
    listeners.dedup();
    listeners.truncate(MAX_LISTENERS);
    Ok(listeners)
}

/// The TCP listeners, sorted, without who holds them, but for those at `hidden` addresses.
///
/// # Errors
/// When `/proc/net/tcp` cannot be read.
pub fn tcp_listeners(hidden: &[SocketAddr]) -> std::io::Result<Vec<Listener>> {
    let mut text = std::fs::read_to_string("/proc/net/tcp")?;
    // A kernel without IPv6 has none.
    text.push_str(&std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default());
    let found = text
        .lines()
        .filter_map(|line| parse(line, TransportProtocol::Tcp));
    let mut listeners: Vec<Listener> = found
        .map(|(_, listener)| listener)
        .filter(|one| !hidden.contains(&SocketAddr::new(one.address, one.port)))
        .collect();
    listeners.sort();
    listeners.dedup();
    listeners.truncate(MAX_LISTENERS);
    Ok(listeners)
}

/// One line of a table: its socket's inode and what listens there.
fn parse(line: &str, protocol: TransportProtocol) -> Option<(u64, Listener)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
    let wanted = if protocol == TransportProtocol::Tcp {
        LISTENING.0
    } else {
        LISTENING.1
    };
    if state != wanted {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16)
        .ok()
        .filter(|port| *port != 0)?;
    let listener = Listener {
        protocol,
        address: parse_address(address)?,
        port,
        pid: None,
        process: None,
    };
    Some((inode.parse().ok()?, listener))
}

/// An address as the kernel prints it: words of 32 bits, each in the machine's byte order.
fn parse_address(digits: &str) -> Option<IpAddr> {
    if !digits.is_ascii() || !matches!(digits.len(), 8 | 32) {
        return None;
    }
    let mut bytes = Vec::with_capacity(16);
    for word in digits.as_bytes().chunks_exact(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?);
    Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

/// Fills in who holds the sockets. Processes come and go meanwhile; what cannot be read is left out.
fn name_owners(found: &mut HashMap<u64, Listener>) {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for file in files.flatten() {
            let Some(inode) = socket_inode(&file.path()) else {
                continue;
            };
            let Some(listener) = found
                .get_mut(&inode)
                .filter(|listener| listener.pid.is_none())
            else {
                continue;
            };
            listener.pid = Some(pid);
            listener.process = std::fs::read_to_string(process.path().join("comm"))
                .ok()
                .map(|name| name.trim_end().to_owned());
        }
    }
}

fn socket_inode(link: &Path) -> Option<u64> {
    let target = std::fs::read_link(link).ok()?;
    target
        .to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_of_this_process_is_found_with_its_owner() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let all = listeners(&[]).unwrap();
        let ours = all.iter().find(|listener| listener.port == port).unwrap();
        assert_eq!(ours.address, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(ours.pid, Some(std::process::id()));
        assert!(ours.process.is_some());
        let hidden = listeners(&[socket.local_addr().unwrap()]).unwrap();
        assert!(!hidden.contains(ours), "{hidden:?}");
    }

    #[test]
    fn tcp_listeners_are_told_without_their_owners() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let is_there = |hidden: &[SocketAddr]| {
            let all = tcp_listeners(hidden).unwrap();
            let found = all.iter().find(|one| one.port == at.port()).cloned();
            found.map(|one| (one.address, one.pid))
        };
        assert_eq!(is_there(&[]), Some((at.ip(), None)));
        assert_eq!(is_there(&[at]), None);
        drop(socket);
        assert_eq!(is_there(&[]), None);
    }

    #[test]
    fn lines_that_are_no_listeners_are_left_out() {
        let established = "0: 0100007F:0016 0100007F:9999 01 0:0 0:0 0 0 0 123";
        assert_eq!(parse(established, TransportProtocol::Tcp), None);
        for broken in [
            "",
            "0: zz:0016 0:0 0A 0:0 0:0 0 0 0 1",
            "0: 0100007F 0:0 0A 0:0 0:0 0 0 0 1",
        ] {
            assert_eq!(parse(broken, TransportProtocol::Tcp), None, "{broken}");
        }
    }

    #[test]
    fn version_6_addresses_are_read() {
        assert_eq!(
            parse_address("00000000000000000000000001000000"),
            Some(Ipv6Addr::LOCALHOST.into())
        );
        assert_eq!(
            parse_address("0000000000000000FFFF00000100007F"),
            Some(Ipv4Addr::LOCALHOST.into())
        );
    }
}
