//! The guest: a network of smoltcp over the link.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use banger_net_control::{GATEWAY_MAC, NetConfig};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{tcp, udp};
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Message, Icmpv4Packet, IpCidr, IpEndpoint, IpProtocol,
};

use super::WITHIN;

/// Hardware address of the guest.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 15];

/// End of an attempt to open a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    Yes(Conn),
    Reset,
    Icmp(Icmp),
    Silence,
}

/// An ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conn(SocketHandle);

struct Wire {
    socket: UnixDatagram,
    own: PathBuf,
    received: VecDeque<Vec<u8>>,
    icmp: VecDeque<Icmp>,
    mtu: usize,
}

pub struct Guest {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    port: u16,
}

impl Wire {
    fn fill(&mut self) {
        let mut buffer = vec![0; 65_600];
        while self.received.len() < 64
            && let Ok(length) = self.socket.recv(&mut buffer)
        {
            let frame = buffer[..length].to_vec();
            if is_broadcast_tcp(&frame) {
                continue;
            }
            if let Some(icmp) = icmp(&frame) {
                self.icmp.push_back(icmp);
            }
            self.received.push_back(frame);
        }
    }

    fn send(&self, frame: &[u8]) {
        for _ in 0..2000 {
            match self.socket.send_to(frame, &self.own) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                // No process: the cable is out.
                _ => return,
            }
        }
    }
}

/// Linux takes TCP only from frames to its own address; smoltcp looks at none.
fn is_broadcast_tcp(frame: &[u8]) -> bool {
    let parsed = banger_net::packet::parse(frame);
    let is_tcp = matches!(parsed, Ok((_, banger_net::packet::Frame::Ip(packet))) if packet.protocol == IpProtocol::Tcp);
    is_tcp && frame[..6] != MAC
}

fn icmp(frame: &[u8]) -> Option<Icmp> {
    let (_, banger_net::packet::Frame::Ip(packet)) = banger_net::packet::parse(frame).ok()? else {
        return None;
    };
    if packet.protocol != IpProtocol::Icmp {
        return None;
    }
    let message = Icmpv4Packet::new_checked(packet.payload).ok()?;
    (message.msg_type() == Icmpv4Message::DstUnreachable).then(|| Icmp {
        kind: 3,
        code: message.msg_code(),
    })
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a Wire);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let answer = f(&mut frame);
        self.0.send(&frame);
        answer
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

impl Guest {
    pub fn new(config: &NetConfig) -> Self {
        let socket = UnixDatagram::bind(&config.link.peer).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut wire = Wire {
            socket,
            own: config.link.own.clone(),
            received: VecDeque::new(),
            icmp: VecDeque::new(),
            mtu: config.guest.mtu.into(),
        };
        let mut settings = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
        settings.random_seed = 7;
        let mut interface = Interface::new(settings, &mut wire, smoltcp::time::Instant::now());
        let v4 = config.guest.v4;
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(v4.address.into(), v4.prefix))
                .unwrap();
            if let Some(v6) = config.guest.v6 {
                addresses
                    .push(IpCidr::new(v6.address.into(), v6.prefix))
                    .unwrap();
            }
        });
        interface
            .routes_mut()
            .add_default_ipv4_route(v4.gateway)
            .unwrap();
        if let Some(v6) = config.guest.v6 {
            interface
                .routes_mut()
                .add_default_ipv6_route(v6.gateway)
                .unwrap();
        }
        Self {
            wire,
            interface,
            sockets: SocketSet::new(Vec::new()),
            port: 40_000,
        }
    }

    /// Lets time pass once.
    pub fn step(&mut self) {
        self.wire.fill();
        let now = smoltcp::time::Instant::now();
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }

    /// Lets time pass until `done` has something, for [`WITHIN`] at most.
    pub fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        let end = Instant::now() + WITHIN;
        while Instant::now() < end {
            self.step();
            if let Some(found) = done(self) {
                return Some(found);
            }
            if self.wire.received.is_empty() {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        None
    }

    fn tcp_socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 1 << 16]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_ack_delay(None);
        self.sockets.add(socket)
    }

    /// Begins to open a connection.
    pub fn begin(&mut self, to: SocketAddr) -> Conn {
        self.port += 1;
        let port = self.port;
        let handle = self.tcp_socket();
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        let to = IpEndpoint::new(to.ip().into(), to.port());
        // smoltcp refuses some addresses itself: the socket stays closed then.
        let _ = socket.connect(self.interface.context(), to, port);
        Conn(handle)
    }

    /// Opens a connection.
    pub fn open(&mut self, to: SocketAddr) -> Opened {
        self.wire.icmp.clear();
        let conn = self.begin(to);
        let opened = self.until(|guest| match guest.state(conn) {
            tcp::State::Established => Some(Opened::Yes(conn)),
            tcp::State::Closed => Some(Opened::Reset),
            _ => guest.wire.icmp.pop_front().map(Opened::Icmp),
        });
        opened.unwrap_or(Opened::Silence)
    }

    /// Opens a connection that must be opened.
    pub fn opened(&mut self, to: SocketAddr) -> Conn {
        match self.open(to) {
            Opened::Yes(conn) => conn,
            other => panic!("{to}: {other:?}"),
        }
    }

    /// Waits for a connection at a port of the guest's.
    pub fn listen(&mut self, port: u16) -> Conn {
        let handle = self.tcp_socket();
        self.socket(Conn(handle)).listen(port).unwrap();
        Conn(handle)
    }

    pub fn socket(&mut self, conn: Conn) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut::<tcp::Socket<'static>>(conn.0)
    }

    pub fn state(&mut self, conn: Conn) -> tcp::State {
        self.socket(conn).state()
    }

    /// Sends everything.
    pub fn send(&mut self, conn: Conn, bytes: &[u8]) {
        let mut sent = 0;
        self.until(|guest| {
            sent += guest.socket(conn).send_slice(&bytes[sent..]).unwrap();
            (sent == bytes.len()).then_some(())
        })
        .expect("the guest's bytes are not taken");
    }

    /// Receives until the other side ends or `count` bytes are there.
    pub fn receive(&mut self, conn: Conn, count: usize) -> Vec<u8> {
        let mut received = Vec::new();
        let end = self.until(|guest| {
            let socket = guest.socket(conn);
            while socket.can_recv() {
                let got = socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap();
                received.extend(got);
            }
            let opens = matches!(socket.state(), tcp::State::Listen | tcp::State::SynReceived);
            (received.len() >= count || !opens && !socket.may_recv()).then_some(())
        });
        assert!(end.is_some(), "{} of {count} bytes came", received.len());
        received
    }

    /// Sends what is given, ends, and answers with all that comes back.
    pub fn exchange(&mut self, conn: Conn, bytes: &[u8]) -> Vec<u8> {
        self.send(conn, bytes);
        self.socket(conn).close();
        self.receive(conn, usize::MAX)
    }

    /// Sends a datagram; answers with one that comes back, or the ICMP error.
    pub fn datagram(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>, Option<Icmp>> {
        self.wire.icmp.clear();
        self.port += 1;
        let buffer =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 1 << 17]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(self.port).unwrap();
        let to = IpEndpoint::new(to.ip().into(), to.port());
        socket.send_slice(bytes, to).unwrap();
        let handle = self.sockets.add(socket);
        let answer = self.until(|guest| {
            let socket = guest.sockets.get_mut::<udp::Socket<'_>>(handle);
            match socket.recv() {
                Ok((bytes, _)) => Some(Ok(bytes.to_vec())),
                Err(_) => guest.wire.icmp.pop_front().map(|icmp| Err(Some(icmp))),
            }
        });
        self.sockets.remove(handle);
        answer.unwrap_or(Err(None))
    }

    /// Asks our name server for the IPv4 addresses of a name: its code and the addresses.
    pub fn lookup(&mut self, name: &str) -> (domain::base::iana::Rcode, Vec<IpAddr>) {
        let query =
            banger_net::dns::make_query(&name.parse().unwrap(), domain::base::iana::Rtype::A);
        let bytes = self.datagram(super::at("10.0.2.3", 53), &query).unwrap();
        let answer = banger_net::dns::parse_answer(&bytes, &query).unwrap();
        (answer.rcode, answer.addresses)
    }

    /// Puts a frame on the link as it is.
    pub fn raw(&self, frame: &[u8]) {
        self.wire.send(frame);
    }

    /// Frames that came and that nobody has looked at.
    pub fn frames(&mut self, within: Duration) -> Vec<Vec<u8>> {
        let end = Instant::now() + within;
        let mut frames = Vec::new();
        while Instant::now() < end {
            self.wire.fill();
            frames.extend(self.wire.received.drain(..));
            std::thread::sleep(Duration::from_millis(1));
        }
        frames
    }

    /// A frame to the gateway with this IPv4 payload.
    pub fn ipv4_frame(
        source: &str,
        destination: &str,
        protocol: IpProtocol,
        fragment: u16,
        payload: &[u8],
    ) -> Vec<u8> {
        use smoltcp::wire::{EthernetFrame, EthernetProtocol, Ipv4Packet};
        let mut bytes = vec![0; 14 + 20 + payload.len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        frame.set_dst_addr(EthernetAddress(GATEWAY_MAC));
        frame.set_src_addr(EthernetAddress(MAC));
        frame.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[14..]);
        packet.set_version(4);
        packet.set_header_len(20);
        packet.set_total_len(u16::try_from(20 + payload.len()).unwrap());
        packet.set_hop_limit(64);
        packet.set_next_header(protocol);
        packet.set_src_addr(source.parse().unwrap());
        packet.set_dst_addr(destination.parse().unwrap());
        packet.set_frag_offset(fragment);
        packet.payload_mut().copy_from_slice(payload);
        packet.fill_checksum();
        bytes
    }
}
