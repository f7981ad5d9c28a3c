//! Datagrams and echo requests: a socket of the host for each pair of addresses.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Instant;

use banger_egress::{Name, Protocol, Question};
use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use smoltcp::wire::UdpPacket;

use crate::answer::{self, Refusal};
use crate::ends::Ends;
use crate::host;
use crate::ingress::is_to_many;
use crate::io::Owner;
use crate::limits::{PING_WITHIN, PINGS_MAX, UDP_IDLE, UDP_PAIRS_MAX};
use crate::lookups::Waiter;
use crate::packet::{self, Packet};
use crate::places::{Gated, Place, protocol_of};
use crate::process::Net;
use crate::resolver::Client;

/// Datagrams of one pair that are carried before others have their turn; the rest is the host's to drop.
const DATAGRAMS_A_TURN: usize = 512;
/// Longest datagram that a socket gives.
const DATAGRAM_MAX_BYTES: usize = 65_536;
/// Bytes of IP and UDP headers.
const HEADERS_BYTES: usize = 48;
const DNS_PORT: u16 = 53;
/// Types of echo messages (RFC 792, RFC 4443).
const ECHO_REQUEST: [u8; 2] = [8, 128];

/// A pair that is open.
pub(crate) struct PairState {
    token: Token,
    socket: UdpSocket,
    pub(crate) question: Question,
    opened: u64,
    since: Instant,
    used: Instant,
    sent: u64,
    received: u64,
    /// Start of the guest's last datagram, for what ICMP says about it.
    last: Vec<u8>,
}

/// Echo requests of one program of the guest's to one address.
pub(crate) struct Ping {
    socket: OwnedFd,
    guest: IpAddr,
    remote: IpAddr,
    ident: u16,
    until: Instant,
}

impl Net {
    /// Takes a datagram of the guest's.
    pub(crate) fn datagram(&mut self, packet: &Packet<'_>) {
        let Ok(datagram) = UdpPacket::new_checked(packet.payload) else {
            self.gate.counters.dropped += 1;
            return;
        };
        let pair = Ends::of(packet, datagram.src_port(), datagram.dst_port());
        if is_to_many(packet.destination) || pair.guest.1 == 0 || pair.remote.1 == 0 {
            self.gate.counters.dropped += 1;
            return;
        }
        if self.is_name_server(pair.remote.0) {
            match pair.remote.1 {
                DNS_PORT => self.lookup(datagram.payload(), |query| Client::Datagram {
                    query,
                    port: pair.guest.1,
                    at: pair.remote.0,
                }),
                _ => self.refuse(packet, Refusal::Port),
            }
            return;
        }
        if !self.pairs.contains_key(&pair) {
            let (address, port) = pair.remote;
            let candidates = match self.place(Protocol::Udp, address, port) {
                Place::At(candidates) => candidates,
                // VMs and endpoints are reached by TCP alone.
                Place::Peer(_) | Place::Secret(_) => {
                    return self.refuse(packet, Refusal::Prohibited);
                }
                Place::Named(name, Some(found)) => {
                    self.candidates(Protocol::Udp, &name, &found, port)
                }
                Place::Named(name, None) => {
                    self.find(name, Waiter::Packet(packet.whole.to_vec()));
                    return;
                }
            };
            if !self.open_pair(pair, candidates, packet) {
                return;
            }
        }
        self.send_datagram(pair, packet, datagram.payload());
    }

    /// Goes on with a datagram or an echo request whose name the host has found.
    pub(crate) fn send_to_name(&mut self, whole: &[u8], name: &Name, found: &[IpAddr]) {
        let parsed = packet::ipv4(whole).or_else(|_| packet::ipv6(whole));
        let Ok(packet) = parsed else {
            return;
        };
        if found.is_empty() {
            self.refuse(&packet, Refusal::Host);
            return;
        }
        match protocol_of(packet.protocol) {
            Protocol::Udp => {
                let Ok(datagram) = UdpPacket::new_checked(packet.payload) else {
                    return;
                };
                let pair = Ends::of(&packet, datagram.src_port(), datagram.dst_port());
                let candidates = self.candidates(Protocol::Udp, name, found, pair.remote.1);
                if self.pairs.contains_key(&pair) || self.open_pair(pair, candidates, &packet) {
                    self.send_datagram(pair, &packet, datagram.payload());
                }
            }
            Protocol::Icmp => {
                let candidates = self.candidates(Protocol::Icmp, name, found, 0);
                self.ping(&packet, candidates);
            }
            Protocol::Tcp => {}
        }
    }

    fn open_pair(
        &mut self,
        pair: Ends,
        candidates: Vec<(Question, SocketAddr)>,
        packet: &Packet<'_>,
    ) -> bool {
        let (allowed, opened) = match self.gate(candidates, false) {
            Gated::Allowed(allowed, opened) => (allowed, opened),
            Gated::Denied | Gated::Nowhere => {
                self.refuse(packet, Refusal::Prohibited);
                return false;
            }
        };
        if self.pairs.len() >= UDP_PAIRS_MAX {
            let oldest = self.pairs.iter().min_by_key(|(_, state)| state.used);
            if let Some(oldest) = oldest.map(|(pair, _)| *pair) {
                self.gate.counters.limited += 1;
                self.close_pair(&oldest);
            }
        }
        for (question, address) in allowed {
            let Ok(mut socket) = host::udp(address) else {
                continue;
            };
            let token = self.io.token(Owner::Pair(pair));
            if self.io.watch(&mut socket, token).is_err() {
                self.io.forget(token);
                continue;
            }
            let state = PairState {
                token,
                socket,
                question,
                opened,
                since: self.now,
                used: self.now,
                sent: 0,
                received: 0,
                last: Vec::new(),
            };
            self.pairs.insert(pair, state);
            self.gate.counters.opened += 1;
            return true;
        }
        self.refuse(packet, Refusal::Host);
        false
    }

    fn send_datagram(&mut self, pair: Ends, packet: &Packet<'_>, payload: &[u8]) {
        let Some(state) = self.pairs.get_mut(&pair) else {
            return;
        };
        state.used = self.now;
        state.last.clear();
        state
            .last
            .extend_from_slice(&packet.whole[..packet.whole.len().min(128)]);
        match state.socket.send(payload) {
            Ok(count) => state.sent += count as u64,
            Err(error) => self.failed_datagram(pair, error.kind()),
        }
    }

    fn failed_datagram(&mut self, pair: Ends, error: ErrorKind) {
        let refusal = match error {
            // Full: a datagram may be lost.
            ErrorKind::WouldBlock | ErrorKind::Interrupted => return,
            ErrorKind::ConnectionRefused => Refusal::Port,
            ErrorKind::PermissionDenied => Refusal::Prohibited,
            _ => Refusal::Host,
        };
        if let Some(state) = self.pairs.get(&pair) {
            let last = state.last.clone();
            if !last.is_empty() {
                self.refuse_bytes(&last, pair.guest.0, refusal);
            }
        }
    }

    /// A socket of a pair has something.
    pub(crate) fn pair_ready(&mut self, pair: Ends) {
        let mut buffer = std::mem::take(&mut self.datagram);
        buffer.resize(DATAGRAM_MAX_BYTES, 0);
        self.take_datagrams(pair, &mut buffer);
        self.datagram = buffer;
    }

    fn take_datagrams(&mut self, pair: Ends, buffer: &mut [u8]) {
        let mtu = usize::from(self.config.guest.mtu);
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(state) = self.pairs.get_mut(&pair) else {
                return;
            };
            match state.socket.recv(buffer) {
                Ok(length) => {
                    state.used = self.now;
                    state.received += length as u64;
                    if length + HEADERS_BYTES <= mtu {
                        let bytes = answer::udp(pair.remote, pair.guest, &buffer[..length]);
                        self.link.send(&bytes);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => self.failed_datagram(pair, error.kind()),
            }
        }
        // What is left is told anew by the poll only with the next datagram: the socket is watched again.
        if let Some(state) = self.pairs.get_mut(&pair) {
            let both = Interest::READABLE | Interest::WRITABLE;
            let again = self
                .io
                .registry()
                .reregister(&mut state.socket, state.token, both);
            if again.is_err() {
                self.close_pair(&pair);
            }
        }
    }

    /// Closes a pair.
    pub(crate) fn close_pair(&mut self, pair: &Ends) {
        let Some(state) = self.pairs.remove(pair) else {
            return;
        };
        self.io.forget(state.token);
        let lasted = self.now.saturating_duration_since(state.since);
        self.gate
            .closed(Some(state.opened), lasted, state.sent, state.received);
    }

    /// Closes what was not used for long.
    pub(crate) fn sweep_datagrams(&mut self) {
        let now = self.now;
        let is_idle = |used: Instant| now.saturating_duration_since(used) > UDP_IDLE;
        let pairs = self.pairs.iter().filter(|(_, state)| is_idle(state.used));
        let idle: Vec<Ends> = pairs.map(|(pair, _)| *pair).collect();
        idle.iter().for_each(|pair| self.close_pair(pair));
        if self.pairs.is_empty() {
            self.datagram = Vec::new();
        }
        let io = &mut self.io;
        self.pings.retain(|token, ping| {
            let waits = ping.until > now;
            if !waits {
                io.forget(*token);
            }
            waits
        });
    }

    /// Takes an echo request of the guest's.
    pub(crate) fn echo(&mut self, packet: &Packet<'_>, ident: u16, seq_no: u16, data: &[u8]) {
        let to = packet.destination;
        if is_to_many(to) {
            return;
        }
        if self.is_name_server(to) || self.gateway(to) == Some(to) {
            if let Some(reply) = answer::echo_reply(to, packet.source, ident, seq_no, data) {
                self.link.send(&reply);
            }
            return;
        }
        match self.place(Protocol::Icmp, to, 0) {
            Place::At(candidates) => self.ping(packet, candidates),
            Place::Peer(_) | Place::Secret(_) => self.refuse(packet, Refusal::Prohibited),
            Place::Named(name, Some(found)) => {
                let candidates = self.candidates(Protocol::Icmp, &name, &found, 0);
                self.ping(packet, candidates);
            }
            Place::Named(name, None) => self.find(name, Waiter::Packet(packet.whole.to_vec())),
        }
    }

    /// Sends an echo request by a socket for it (icmp(7), "ping socket"), where the host gives one to its user.
    fn ping(&mut self, packet: &Packet<'_>, candidates: Vec<(Question, SocketAddr)>) {
        let [a, b] = [packet.payload.get(4), packet.payload.get(5)].map(|byte| byte.copied());
        let ident = u16::from_be_bytes([a.unwrap_or_default(), b.unwrap_or_default()]);
        let allowed = match self.gate(candidates, false) {
            Gated::Allowed(allowed, _) => allowed,
            Gated::Denied | Gated::Nowhere => return self.refuse(packet, Refusal::Prohibited),
        };
        let remote = packet.destination;
        let same = |ping: &Ping| ping.remote == remote && ping.ident == ident;
        if let Some(ping) = self.pings.values_mut().find(|ping| same(ping)) {
            ping.until = self.now + PING_WITHIN;
            let _ = rustix::net::send(&ping.socket, packet.payload, SendFlags::empty());
            return;
        }
        let address = allowed.first().map(|(_, address)| *address);
        let sent = address
            .filter(|_| self.pings.len() < PINGS_MAX)
            .and_then(|address| ping_socket(address, packet.payload).ok());
        let Some(socket) = sent else {
            return self.refuse(packet, Refusal::Prohibited);
        };
        let token = self.io.token(Owner::Ping);
        let fd = socket.as_raw_fd();
        let registry = self.io.registry();
        if registry
            .register(&mut SourceFd(&fd), token, Interest::READABLE)
            .is_err()
        {
            self.io.forget(token);
            return;
        }
        let ping = Ping {
            socket,
            guest: packet.source,
            remote,
            ident,
            until: self.now + PING_WITHIN,
        };
        self.pings.insert(token, ping);
    }

    /// A ping socket has something.
    pub(crate) fn ping_ready(&mut self, token: Token) {
        let mut buffer = vec![0; 65_536];
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(ping) = self.pings.get(&token) else {
                return;
            };
            let Ok((length, _)) =
                rustix::net::recv(&ping.socket, &mut buffer[..], RecvFlags::empty())
            else {
                return;
            };
            let Some(reply) = buffer.get(..length).filter(|reply| reply.len() >= 8) else {
                continue;
            };
            let is_reply = [0, 129].contains(&reply[0]);
            let fits = length + HEADERS_BYTES <= usize::from(self.config.guest.mtu);
            if !is_reply || !fits {
                continue;
            }
            let seq_no = u16::from_be_bytes([reply[6], reply[7]]);
            let made = answer::echo_reply(ping.remote, ping.guest, ping.ident, seq_no, &reply[8..]);
            if let Some(made) = made {
                self.link.send(&made);
            }
        }
    }
}

fn ping_socket(address: SocketAddr, request: &[u8]) -> rustix::io::Result<OwnedFd> {
    let (family, protocol) = match address {
        SocketAddr::V4(_) => (AddressFamily::INET, rustix::net::ipproto::ICMP),
        SocketAddr::V6(_) => (AddressFamily::INET6, rustix::net::ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(protocol))?;
    rustix::net::connect(&socket, &address)?;
    let mut request = request.to_vec();
    if let Some(kind) = request.first_mut() {
        // A name may lead to the other family than the one by which the guest asked.
        *kind = ECHO_REQUEST[usize::from(address.is_ipv6())];
    }
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    Ok(socket)
}
