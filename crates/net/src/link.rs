//! The link to the VMM: one Unix datagram a frame.
//!
//! ```text
//! guest ─► QEMU ─► datagram ─► own socket          bound anew by each process: QEMU needs no word of it
//! guest ◄─ QEMU ◄─ datagram ◄─ connected to QEMU's socket, as soon as there is one
//! ```
//!
//! Nothing is dropped while QEMU takes frames: what it does not take at once is queued, and connections stop sending
//! when the queue is full. Frames for a QEMU that is not there are dropped, as on a cable without its other end.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use mio::net::UnixDatagram;
use mio::{Interest, Registry, Token};
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol};

use crate::io::remove_stale;
use crate::packet::ETHERNET_BYTES;

/// Queued bytes at which connections stop sending.
const QUEUE_BYTES: usize = 2 << 20;
/// Queued bytes beyond which nothing more is taken, acknowledgements among it.
const QUEUE_MAX_BYTES: usize = 3 << 20;
/// Buffers of the sockets, bytes; the kernel gives at most what the host allows.
const SOCKET_BYTES: usize = 1 << 20;
/// Longest frame, bytes.
pub(crate) const FRAME_MAX_BYTES: usize = ETHERNET_BYTES + 65_535;

/// The link.
pub(crate) struct Link {
    socket: UnixDatagram,
    peer: PathBuf,
    connected: bool,
    gateway_mac: EthernetAddress,
    guest_mac: EthernetAddress,
    scratch: Vec<u8>,
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    /// A connection wanted to send and could not.
    starved: bool,
    /// Frames that the guest's side took.
    pub(crate) frames_out: u64,
}

impl Link {
    /// Binds its socket, in place of that of an earlier process. Without `guest_mac` frames are broadcast until the guest has sent
    /// one.
    pub(crate) fn bind(
        own: &Path,
        peer: &Path,
        gateway_mac: [u8; 6],
        guest_mac: Option<[u8; 6]>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        remove_stale(own)?;
        let mut socket = UnixDatagram::bind(own)?;
        for set in [
            rustix::net::sockopt::set_socket_send_buffer_size,
            rustix::net::sockopt::set_socket_recv_buffer_size,
        ] {
            set(socket.as_fd(), SOCKET_BYTES)?;
        }
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut link = Self {
            socket,
            peer: peer.to_owned(),
            connected: false,
            gateway_mac: EthernetAddress(gateway_mac),
            guest_mac: guest_mac.map_or(EthernetAddress::BROADCAST, EthernetAddress),
            scratch: vec![0; FRAME_MAX_BYTES],
            queue: VecDeque::new(),
            queued_bytes: 0,
            starved: false,
            frames_out: 0,
        };
        link.connect();
        Ok(link)
    }

    fn connect(&mut self) -> bool {
        self.connected = self.socket.connect(&self.peer).is_ok();
        self.connected
    }

    /// The hardware address of the gateway.
    pub(crate) fn gateway_mac(&self) -> EthernetAddress {
        self.gateway_mac
    }

    /// Notes where the guest's frames come from: there go those for it.
    pub(crate) fn seen(&mut self, mac: EthernetAddress) {
        if mac.is_unicast() && mac != self.gateway_mac {
            self.guest_mac = mac;
        }
    }

    /// Takes one frame into `buffer`; `None` when there is none.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket.recv(buffer) {
                Ok(length) => {
                    if !self.connected {
                        // It sends, so it is there.
                        self.connect();
                    }
                    return Ok(Some(length));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The other end of a connected socket is gone.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
                    ) =>
                {
                    self.connected = false;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells whether a connection may send.
    pub(crate) fn has_room(&mut self) -> bool {
        let has_room = self.queued_bytes < QUEUE_BYTES;
        self.starved |= !has_room;
        has_room
    }

    /// Tells, once, that connections that could not send may try again.
    pub(crate) fn is_fed(&mut self) -> bool {
        let fed = self.starved && self.queued_bytes < QUEUE_BYTES / 2;
        if fed {
            self.starved = false;
        }
        fed
    }

    /// Sends an IP packet of `length` bytes that `fill` writes.
    pub(crate) fn send_with<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let end = (ETHERNET_BYTES + length).min(self.scratch.len());
        let mut scratch = std::mem::take(&mut self.scratch);
        let answer = fill(&mut scratch[ETHERNET_BYTES..end]);
        let version = scratch.get(ETHERNET_BYTES).map_or(0, |byte| byte >> 4);
        let ethertype = match version {
            6 => EthernetProtocol::Ipv6,
            _ => EthernetProtocol::Ipv4,
        };
        self.send_frame(&mut scratch[..end], ethertype);
        self.scratch = scratch;
        answer
    }

    /// Sends an IP packet.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        self.send_with(packet.len(), |room| {
            let length = room.len().min(packet.len());
            room[..length].copy_from_slice(&packet[..length]);
        });
    }

    /// Sends a payload of another protocol than IP.
    pub(crate) fn send_other(&mut self, ethertype: EthernetProtocol, payload: &[u8]) {
        let mut frame = vec![0; ETHERNET_BYTES + payload.len()];
        frame[ETHERNET_BYTES..].copy_from_slice(payload);
        self.send_frame(&mut frame, ethertype);
    }

    fn send_frame(&mut self, frame: &mut [u8], ethertype: EthernetProtocol) {
        let mut header = EthernetFrame::new_unchecked(&mut *frame);
        header.set_dst_addr(self.guest_mac);
        header.set_src_addr(self.gateway_mac);
        header.set_ethertype(ethertype);
        if self.queue.is_empty() && self.offer(frame) {
            return;
        }
        if self.queued_bytes + frame.len() <= QUEUE_MAX_BYTES {
            self.queued_bytes += frame.len();
            self.queue.push_back(frame.to_vec());
        }
    }

    /// Gives a frame to the VMM. False: it takes none now.
    fn offer(&mut self, frame: &[u8]) -> bool {
        if !self.connected && !self.connect() {
            return true;
        }
        loop {
            match self.socket.send(frame) {
                Ok(_) => {
                    self.frames_out += 1;
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock
                        || error.raw_os_error() == Some(libc::ENOBUFS) =>
                {
                    return false;
                }
                Err(_gone) => {
                    self.connected = false;
                    return true;
                }
            }
        }
    }

    /// Gives what is queued to the VMM, as far as it takes it.
    pub(crate) fn flush(&mut self) {
        while let Some(frame) = self.queue.pop_front() {
            if !self.offer(&frame) {
                self.queue.push_front(frame);
                return;
            }
            self.queued_bytes -= frame.len();
        }
        if self.queue.capacity() > 256 {
            self.queue.shrink_to(16);
        }
    }
}
