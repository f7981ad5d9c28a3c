//! The upstream proxy: in networks that have one, connections to the internet go through it by CONNECT (RFC 9110, 9.3.6).
//!
//! ```text
//! SYN of the guest ─► the gate ─► the host connects to the proxy ─► CONNECT NAME:PORT ─► 2xx ─► the guest's SYN is answered
//!                                                                                  └─ else: refused, or unreachable
//! ```
//!
//! The policy judges the same with a proxy as without: the addresses that this host finds. The proxy is asked for the name
//! where one is known, for most of them judge by names.

use std::io::{self, ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr};

use banger_egress::{AddressClass, Destination, Question, class};
use banger_net_control::Proxy;
use mio::net::TcpStream;

/// Longest head of a proxy's answer.
const HEAD_MAX_BYTES: usize = 8 * 1024;

/// A conversation with the proxy about one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asking {
    request: Vec<u8>,
    sent: usize,
}

/// Word of the proxy.
#[derive(Debug)]
pub(crate) enum Said {
    /// Nothing yet.
    Nothing,
    /// It is connected.
    Yes,
    /// It is not.
    No(io::Error),
}

/// Addresses of the proxy for what this question asks; `None` where it is reached directly.
pub(crate) fn leads<'a>(proxy: Option<&'a Proxy>, question: &Question) -> Option<&'a [SocketAddr]> {
    let proxy = proxy?;
    let Question::Open { destination, .. } = question else {
        return None;
    };
    let (name, address) = match destination {
        Destination::Named { name, address } => (Some(name.as_str()), *address),
        Destination::Address(address) => (None, *address),
        Destination::Host | Destination::Vm(_) => return None,
    };
    let is_direct = class(address) != AddressClass::Public || proxy.excepts(name, address);
    (!is_direct).then_some(&proxy.addresses[..])
}

impl Asking {
    /// The request for a destination; `None` for what is no connection.
    pub(crate) fn of(question: &Question) -> Option<Self> {
        let Question::Open {
            destination, port, ..
        } = question
        else {
            return None;
        };
        let at = match destination {
            Destination::Named { name, .. } => format!("{name}:{port}"),
            Destination::Address(IpAddr::V4(v4)) => format!("{v4}:{port}"),
            Destination::Address(IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
            Destination::Host | Destination::Vm(_) => return None,
        };
        let request = format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n").into_bytes();
        Some(Self { request, sent: 0 })
    }

    /// Goes on with the conversation. What comes after the proxy's head stays in the socket.
    pub(crate) fn go_on(&mut self, stream: &mut TcpStream) -> Said {
        while self.sent < self.request.len() {
            match stream.write(&self.request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Said::Nothing,
                Err(error) => return Said::No(error),
            }
        }
        let mut head = [0; HEAD_MAX_BYTES];
        let count = match stream.peek(&mut head) {
            Ok(0) => return Said::No(ErrorKind::ConnectionReset.into()),
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Said::Nothing;
            }
            Err(error) => return Said::No(error),
        };
        let Some(end) = end(&head[..count]) else {
            return match count == HEAD_MAX_BYTES {
                true => Said::No(ErrorKind::InvalidData.into()),
                false => Said::Nothing,
            };
        };
        let answer = answer(&head[..end]);
        // It was there a moment ago.
        match io::Read::read_exact(stream, &mut head[..end]) {
            Err(error) => Said::No(error),
            Ok(()) => answer,
        }
    }
}

fn end(head: &[u8]) -> Option<usize> {
    let at = head.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

/// The answer in the first line of a head.
fn answer(head: &[u8]) -> Said {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let is_http = words.next().is_some_and(|one| one.starts_with(b"HTTP/1."));
    let code = words.next().and_then(|code| std::str::from_utf8(code).ok());
    let kind = match code.and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=299) if is_http => return Said::Yes,
        // It does not want to, or wants to know who asks.
        Some(401 | 403 | 405 | 407) => ErrorKind::PermissionDenied,
        _ => ErrorKind::HostUnreachable,
    };
    Said::No(kind.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn proxy(except: &[&str]) -> Proxy {
        Proxy {
            addresses: vec!["192.0.2.9:3128".parse().unwrap()],
            except: except.iter().map(|one| (*one).to_owned()).collect(),
        }
    }

    fn question(name: Option<&str>, address: &str) -> Question {
        let address = address.parse().unwrap();
        Question::Open {
            protocol: banger_egress::Protocol::Tcp,
            destination: match name {
                Some(name) => Destination::Named {
                    name: name.parse().unwrap(),
                    address,
                },
                None => Destination::Address(address),
            },
            port: 443,
        }
    }

    #[test]
    fn the_internet_is_behind_the_proxy_and_nothing_else() {
        let proxy = proxy(&["example.com", ".local.example", "8.8.0.0/16"]);
        let leads = |name, address| leads(Some(&proxy), &question(name, address)).is_some();
        assert!(leads(None, "1.1.1.1"));
        assert!(leads(Some("a.example"), "1.1.1.1"));
        for (name, address) in [
            (None, "10.0.0.1"),
            (None, "192.168.1.1"),
            (None, "8.8.4.4"),
            (Some("example.com"), "1.1.1.1"),
            (Some("a.example.com"), "1.1.1.1"),
            (Some("a.local.example"), "1.1.1.1"),
        ] {
            assert!(!leads(name, address), "{name:?} {address}");
        }
        assert!(leads(Some("notexample.com"), "1.1.1.1"));
        let host = Question::Open {
            protocol: banger_egress::Protocol::Tcp,
            destination: Destination::Host,
            port: 80,
        };
        assert!(super::leads(Some(&proxy), &host).is_none());
        assert!(super::leads(None, &question(None, "1.1.1.1")).is_none());
    }

    #[test]
    fn the_proxy_is_asked_for_the_name_where_one_is_known() {
        let asked = |question: &Question| String::from_utf8(Asking::of(question).unwrap().request);
        let by_name = asked(&question(Some("a.example"), "1.1.1.1")).unwrap();
        assert_eq!(
            by_name,
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"
        );
        let by_address = asked(&question(None, "2606:4700::1")).unwrap();
        assert!(
            by_address.starts_with("CONNECT [2606:4700::1]:443 HTTP/1.1\r\n"),
            "{by_address}"
        );
    }

    #[test]
    fn only_success_of_http_is_success() {
        let kind = |line: &str| match answer(line.as_bytes()) {
            Said::Yes => None,
            Said::No(error) => Some(error.kind()),
            Said::Nothing => unreachable!(),
        };
        assert_eq!(kind("HTTP/1.1 200 Connection established\r\n\r\n"), None);
        assert_eq!(kind("HTTP/1.0 200\r\n\r\n"), None);
        for (line, expected) in [
            (
                "HTTP/1.1 403 Forbidden\r\n\r\n",
                ErrorKind::PermissionDenied,
            ),
            ("HTTP/1.1 407 Who\r\n\r\n", ErrorKind::PermissionDenied),
            (
                "HTTP/1.1 502 Bad Gateway\r\n\r\n",
                ErrorKind::HostUnreachable,
            ),
            ("SSH-2.0-x 200\r\n\r\n", ErrorKind::HostUnreachable),
            ("HTTP/1.1 2\r\n\r\n", ErrorKind::HostUnreachable),
            ("\r\n\r\n", ErrorKind::HostUnreachable),
        ] {
            assert_eq!(kind(line), Some(expected), "{line}");
        }
    }
}
