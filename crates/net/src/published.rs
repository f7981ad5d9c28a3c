//! Published ports: connections to the host that lead into the guest.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use banger_net_control::{Publish, PublishStatus};
use mio::{Interest, Token};
use rustix::net::sockopt;

use crate::ends::Ends;
use crate::flow::{Backend, Flow};
use crate::io::{Io, Owner};
use crate::limits::{self, FLOWS_MAX};
use crate::process::Net;
use crate::users;

/// First port that the gateway takes for connections into the guest.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 60_999;

/// The ports of one VM.
pub(crate) struct Published {
    ports: Vec<Port>,
    next: u16,
    /// Netlink socket that tells the users of connections.
    users: Option<OwnedFd>,
}

struct Port {
    port: Publish,
    listener: Result<(Token, mio::net::TcpListener), String>,
}

impl Published {
    /// Listens at the ports; what does not listen is told by [`Self::status`].
    pub(crate) fn listen(ports: &[Publish], io: &mut Io) -> Self {
        let bound = |port: &Publish| {
            let address = SocketAddr::new(port.host_ip, port.host_port);
            mio::net::TcpListener::bind(address)
        };
        let mut published = Self {
            ports: Vec::new(),
            next: FIRST_PORT,
            users: None,
        };
        for port in ports {
            published.add(*port, bound(port), io);
        }
        published
    }

    fn add(&mut self, port: Publish, bound: io::Result<mio::net::TcpListener>, io: &mut Io) {
        let listener = bound.and_then(|mut listener| {
            let token = io.token(Owner::Listener);
            match io
                .registry()
                .register(&mut listener, token, Interest::READABLE)
            {
                Ok(()) => Ok((token, listener)),
                Err(error) => {
                    io.forget(token);
                    Err(error)
                }
            }
        });
        let listener = listener.map_err(|error| error.to_string());
        self.ports.push(Port { port, listener });
    }

    /// Listens by a socket that the daemon has bound.
    pub(crate) fn adopt(&mut self, port: Publish, socket: OwnedFd, io: &mut Io) -> io::Result<()> {
        let listener = TcpListener::from(socket);
        // Any other kind of socket has another address, or none.
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        self.remove(port, io);
        self.add(port, Ok(mio::net::TcpListener::from_std(listener)), io);
        Ok(())
    }

    /// Sees the users of connections by this netlink socket from now on.
    pub(crate) fn see_users(&mut self, netlink: OwnedFd) -> io::Result<()> {
        users::check(&netlink)?;
        self.users = Some(netlink);
        Ok(())
    }

    /// Listens no more.
    pub(crate) fn remove(&mut self, port: Publish, io: &mut Io) {
        self.ports.retain(|one| {
            let stays = one.port != port;
            if let (false, Ok((token, _))) = (stays, &one.listener) {
                io.forget(*token);
            }
            stays
        });
    }

    pub(crate) fn status(&self) -> Vec<PublishStatus> {
        let ports = self.ports.iter().map(|one| PublishStatus {
            port: one.port,
            failure: one.listener.as_ref().err().cloned(),
        });
        ports.collect()
    }

    fn accept(
        &self,
        token: Token,
    ) -> Option<(Publish, io::Result<(mio::net::TcpStream, SocketAddr)>)> {
        self.ports.iter().find_map(|one| match &one.listener {
            Ok((mine, listener)) if *mine == token => Some((one.port, listener.accept())),
            _ => None,
        })
    }
}

impl Net {
    /// Takes connections to a published port.
    pub(crate) fn accept_published(&mut self, token: Token) {
        while let Some((port, accepted)) = self.published.accept(token) {
            match accepted {
                Ok((stream, peer)) => self.dial(port, stream, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The connection is gone already, or descriptors are short: the next ones are taken all the same.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => return,
            }
        }
    }

    fn dial(&mut self, port: Publish, stream: mio::net::TcpStream, peer: SocketAddr) {
        if port
            .only_uid
            .is_some_and(|uid| self.user(&stream, peer) != Some(uid))
        {
            // Closing resets; where that fails it closes.
            let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            return;
        }
        let address = IpAddr::V4(self.config.guest.v4.address);
        let guest = (address, port.door.unwrap_or(port.guest_port));
        let Some(remote) = self.source(guest, peer) else {
            return;
        };
        let key = Ends { guest, remote };
        if self.flows.len() >= FLOWS_MAX {
            self.gate.counters.limited += 1;
            return;
        }
        let mut stream = stream;
        let token = self.io.token(Owner::Flow(key));
        let is_watched = stream
            .set_nodelay(true)
            .and_then(|()| self.io.watch(&mut stream, token));
        if is_watched.is_err() {
            self.io.forget(token);
            return;
        }
        let mut flow = Flow::new(token, None, limits::buffers(self.held_bytes));
        flow.backend = Backend::Stream(stream);
        flow.told = port.door.map(|_| port.guest_port);
        self.half_open += 1;
        self.flows.insert(key, Box::new(flow));
        self.open(key);
    }

    /// The user that a connection is of, where the daemon has given a way to see it.
    fn user(&self, stream: &mio::net::TcpStream, peer: SocketAddr) -> Option<u32> {
        let netlink = self.published.users.as_ref()?;
        users::of_connection(netlink, peer, stream.local_addr().ok()?)
    }

    /// The address that the guest sees: the peer's own, or the gateway's for the host itself, as agents expect it.
    fn source(&mut self, guest: (IpAddr, u16), peer: SocketAddr) -> Option<(IpAddr, u16)> {
        let free = |net: &Self, remote| !net.flows.contains_key(&Ends { guest, remote });
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let own = (peer.ip(), peer.port());
        if peer.is_ipv4() && !peer.ip().is_loopback() && free(self, own) {
            return Some(own);
        }
        self.free_port(guest, IpAddr::V4(self.config.guest.v4.gateway))
    }

    /// A port of `address` from which nothing goes to this port of the guest.
    pub(crate) fn free_port(
        &mut self,
        guest: (IpAddr, u16),
        address: IpAddr,
    ) -> Option<(IpAddr, u16)> {
        for _ in FIRST_PORT..=LAST_PORT {
            let port = self.published.next;
            self.published.next = match port {
                LAST_PORT => FIRST_PORT,
                port => port + 1,
            };
            let remote = (address, port);
            if !self.flows.contains_key(&Ends { guest, remote }) {
                return Some(remote);
            }
        }
        None
    }
}
