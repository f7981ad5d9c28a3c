//! The host's side: its own addresses, its name servers, and sockets of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt;

/// Most name servers of resolv.conf(5).
const SERVERS_MAX: usize = 3;
/// Longest resolv.conf that is read, bytes.
const FILE_MAX_BYTES: usize = 64 * 1024;
/// Time between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const DNS_PORT: u16 = 53;

/// Tells whether `address` is one of the host's own: the kernel then takes it as the source too. No packet is sent.
pub(crate) fn is_own(address: IpAddr) -> bool {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => ([0; 4], 0).into(),
        IpAddr::V6(_) => ([0; 16], 0).into(),
    };
    let local = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    // An address that no route leads to is nobody's.
    local.is_ok_and(|local| local.ip() == address)
}

/// The name servers that are asked.
#[derive(Debug)]
pub(crate) struct Servers {
    fixed: Vec<SocketAddr>,
    file: PathBuf,
    read: Vec<SocketAddr>,
    /// Inode, modification time and length of the file that was read.
    state: Option<(u64, i64, i64, u64)>,
    looked: Option<Instant>,
}

impl Servers {
    pub(crate) fn new(file: &Path, fixed: Vec<SocketAddr>) -> Self {
        Self {
            fixed,
            file: file.to_owned(),
            read: vec![(Ipv4Addr::LOCALHOST, DNS_PORT).into()],
            state: None,
            looked: None,
        }
    }

    pub(crate) fn fix(&mut self, servers: Vec<SocketAddr>) {
        self.fixed = servers;
    }

    /// The servers, of the file as it is now.
    pub(crate) fn now(&mut self, now: Instant) -> &[SocketAddr] {
        if !self.fixed.is_empty() {
            return &self.fixed;
        }
        let is_old = self
            .looked
            .is_none_or(|looked| now.saturating_duration_since(looked) > LOOK_EVERY);
        if is_old {
            self.looked = Some(now);
            self.look();
        }
        &self.read
    }

    fn look(&mut self) {
        let Ok(metadata) = std::fs::metadata(&self.file) else {
            return;
        };
        let state = (
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.len(),
        );
        if self.state == Some(state) {
            return;
        }
        if let Ok(text) = std::fs::read(&self.file) {
            self.state = Some(state);
            self.read = name_servers(&text);
        }
    }
}

/// The name servers of a resolv.conf(5); the host itself when it names none.
#[must_use]
pub fn name_servers(text: &[u8]) -> Vec<SocketAddr> {
    let text = String::from_utf8_lossy(&text[..text.len().min(FILE_MAX_BYTES)]);
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then_some(())?;
        let address: IpAddr = words.next()?.parse().ok()?;
        Some((address, DNS_PORT).into())
    });
    let mut found: Vec<SocketAddr> = lines.take(SERVERS_MAX).collect();
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
    }
    found
}

/// A UDP socket that is connected to `address`.
pub(crate) fn udp(address: SocketAddr) -> io::Result<mio::net::UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let socket = mio::net::UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// A connection that has begun.
pub(crate) fn tcp(address: SocketAddr) -> io::Result<mio::net::TcpStream> {
    let stream = mio::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The result of a connect; `None` while it goes on.
pub(crate) fn connected(stream: &mio::net::TcpStream) -> Option<io::Result<()>> {
    match sockopt::socket_error(stream) {
        Ok(Err(error)) | Err(error) => return Some(Err(error.into())),
        Ok(Ok(())) => {}
    }
    match stream.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_and_the_host_stands_in_for_none() {
        let text = b"# nameserver 9.9.9.9\nsearch a.example\nnameserver 127.0.0.53\noptions edns0\nnameserver ::1 \nnameserver x\n";
        let found: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53:53", "[::1]:53"]);
        assert_eq!(name_servers(b"\xff\n").len(), 1);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let mut servers = Servers::new(&path, Vec::new());
        let start = Instant::now();
        assert_eq!(servers.now(start)[0].to_string(), "127.0.0.1:53");
        std::fs::write(&path, "nameserver 127.0.0.2\n").unwrap();
        assert_eq!(
            servers.now(start + Duration::from_secs(2))[0].to_string(),
            "127.0.0.2:53"
        );
        let new = dir.path().join("new");
        std::fs::write(&new, "nameserver 127.0.0.3\n").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(
            servers.now(start + Duration::from_secs(4))[0].to_string(),
            "127.0.0.3:53"
        );
    }

    #[test]
    fn the_hosts_own_addresses_are_known_as_its_own() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(is_own("::1".parse().unwrap()) || std::net::UdpSocket::bind("[::1]:0").is_err());
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
