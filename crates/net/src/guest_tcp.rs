//! The guest's side of one TCP connection: an interface and a socket of smoltcp for it alone.
//!
//! smoltcp looks through all sockets of a set for every packet (smoltcp-rs/smoltcp #934). A set of one costs nothing, so
//! the table of connections is ours.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint};

use crate::ends::Ends;
use crate::link::Link;

/// A guest that does not answer for so long is taken for gone, while a connection is opened or closed.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(30);

/// The guest's side of one connection.
pub(crate) struct GuestTcp {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    mtu: usize,
}

/// One packet in, any number out.
struct Wire<'a> {
    received: Option<&'a [u8]>,
    link: &'a mut Link,
    mtu: usize,
}

struct Received<'a>(&'a [u8]);
struct Sending<'a>(&'a mut Link);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        self.0.send_with(length, f)
    }
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let packet = self.received.take()?;
        Some((Received(packet), Sending(self.link)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        self.link.has_room().then_some(Sending(self.link))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // The link is memory: it loses and damages nothing.
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

impl GuestTcp {
    /// The guest's side of a connection with these ends, which is to be accepted or dialled.
    pub(crate) fn new(
        key: &Ends,
        buffers: Buffers,
        mtu: usize,
        link: &mut Link,
        now: Instant,
    ) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random();
        let mut wire = Wire {
            received: None,
            link,
            mtu,
        };
        let mut interface = Interface::new(config, &mut wire, now);
        interface.update_ip_addrs(|addresses| {
            // A prefix of 0: the guest is on the same network, whatever its address. There is room for one.
            let _ = addresses.push(IpCidr::new(key.remote.0.into(), 0));
        });
        let buffer = |bytes: usize| SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(buffer(buffers.receive), buffer(buffers.send));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket.set_timeout(Some(HANDSHAKE_WITHIN));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self {
            interface,
            sockets,
            handle,
            mtu,
        }
    }

    /// Answers the guest's SYN, which the caller gives to [`Self::receive`] next. False: the guest's port is none.
    pub(crate) fn accept(&mut self, key: &Ends) -> bool {
        let at = IpEndpoint::new(key.remote.0.into(), key.remote.1);
        self.socket().listen(at).is_ok()
    }

    /// Connects to the guest. False: the guest's port is none.
    pub(crate) fn dial(&mut self, key: &Ends, link: &mut Link, now: Instant) -> bool {
        let to = IpEndpoint::new(key.guest.0.into(), key.guest.1);
        let from = IpEndpoint::new(key.remote.0.into(), key.remote.1);
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let begun = socket.connect(self.interface.context(), to, from).is_ok();
        if begun {
            self.advance(link, now);
        }
        begun
    }

    /// The socket.
    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut::<Socket<'static>>(self.handle)
    }

    /// Takes a packet of the guest's, and sends what follows from it.
    pub(crate) fn receive(&mut self, packet: &[u8], link: &mut Link, now: Instant) {
        self.poll(Some(packet), link, now);
    }

    /// Sends what there is to send.
    pub(crate) fn advance(&mut self, link: &mut Link, now: Instant) {
        self.poll(None, link, now);
    }

    fn poll(&mut self, packet: Option<&[u8]>, link: &mut Link, now: Instant) {
        let mut wire = Wire {
            received: packet,
            link,
            mtu: self.mtu,
        };
        self.interface.poll(now, &mut wire, &mut self.sockets);
        let socket = self.sockets.get_mut::<Socket<'static>>(self.handle);
        if socket.state() == State::Established && socket.timeout().is_some() {
            // A guest may be paused for as long as its user likes.
            socket.set_timeout(None);
        }
    }

    /// Time at which [`Self::advance`] is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

/// Bytes of the buffers of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffers {
    pub(crate) receive: usize,
    pub(crate) send: usize,
}

/// A seed that the guest cannot guess, for sequence numbers.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // The kernel's generator is there from the start of the machine on.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}
