//! Other VMs of the same network: connections go from one network process to the other's, and both policies are asked.
//!
//! ```text
//! guest of web ─ SYN to db.vm ─► web's process: may web reach vm:db:5432? ─┐  two bytes (the port), and a socket
//!                                                                          ▼
//!                                      db's process: does db deny vm:web? ─► its guest ─► the first message says that it took it
//! ```
//!
//! The daemon makes a pair of sockets for each two VMs and gives one to each process; it goes with either. Bytes travel in messages
//! that say what they are, so that a connection that broke off does not look like one that has ended.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use banger_egress::{Destination, Name, Protocol, Question, Verdict};
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    sockopt,
};

use crate::audit_log::now_ms;
use crate::ends::Ends;
use crate::flow::{Backend, Flow, Stage};
use crate::io::{Io, Owner};
use crate::limits::{self, CONNECT_WITHIN, FLOWS_MAX, HALF_OPEN_MAX, PEERS_MAX};
use crate::process::Net;

/// Domain of the names of VMs.
const DOMAIN: &str = ".vm";
/// Bytes of one message on the way.
const MESSAGE_BYTES: usize = 16 * 1024;
/// Words of messages: bytes follow; the end; the guest has taken the connection.
const BYTES: u8 = 0;
const END: u8 = 1;
const TAKEN: u8 = 2;
/// Dials of one process that are taken before others have their turn.
const DIALS_A_TURN: usize = 64;

/// The other VMs that this one is joined with.
#[derive(Default)]
pub(crate) struct Peers {
    sockets: BTreeMap<Name, (Token, OwnedFd)>,
    names: HashMap<Token, Name>,
}

impl Peers {
    /// Is joined with another VM by this socket from now on.
    pub(crate) fn join(&mut self, peer: Name, socket: OwnedFd, io: &mut Io) -> io::Result<()> {
        let kind = sockopt::socket_type(&socket)?;
        if sockopt::socket_domain(&socket)? != AddressFamily::UNIX || kind != SocketType::SEQPACKET
        {
            return Err(ErrorKind::InvalidInput.into());
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        self.leave(&peer, io);
        if self.sockets.len() >= PEERS_MAX {
            return Err(io::Error::other("it is joined with as many VMs as can be"));
        }
        let token = io.token(Owner::Peer);
        let fd = socket.as_raw_fd();
        io.registry()
            .register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        self.names.insert(token, peer.clone());
        self.sockets.insert(peer, (token, socket));
        Ok(())
    }

    /// Is joined with it no more. Open connections stay.
    pub(crate) fn leave(&mut self, peer: &Name, io: &mut Io) {
        if let Some((token, _)) = self.sockets.remove(peer) {
            self.names.remove(&token);
            io.forget(token);
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.sockets.keys()
    }

    fn has(&self, peer: &Name) -> bool {
        self.sockets.contains_key(peer)
    }
}

/// The VM that a name means; `None` for a name that is not below `vm`.
pub(crate) fn vm_of(name: &Name) -> Option<Name> {
    name.as_str().strip_suffix(DOMAIN)?.parse().ok()
}

/// The name of a VM in its guest.
fn name_of(vm: &Name) -> Option<Name> {
    format!("{vm}{DOMAIN}").parse().ok()
}

/// A connection's way to another process.
pub(crate) struct PeerStream {
    socket: OwnedFd,
    /// Bytes that came and that nobody has taken yet.
    came: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl PeerStream {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            came: Vec::new(),
            taken: 0,
            ended: false,
        }
    }

    fn watch(&self, io: &Io, token: Token) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        io.watch(&mut SourceFd(&fd), token)
    }

    fn send(&self, word: u8, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(MESSAGE_BYTES)];
        let parts = [
            IoSlice::new(std::slice::from_ref(&word)),
            IoSlice::new(bytes),
        ];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // A message goes whole or not at all.
        sendmsg(
            &self.socket,
            &parts,
            &mut SendAncillaryBuffer::default(),
            flags,
        )?;
        Ok(bytes.len())
    }

    /// The next message's word, and its bytes into `came`.
    fn receive(&mut self) -> io::Result<u8> {
        let mut word = [0];
        self.came.resize(MESSAGE_BYTES, 0);
        self.taken = 0;
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut word), IoSliceMut::new(&mut self.came)],
            &mut RecvAncillaryBuffer::default(),
            RecvFlags::DONTWAIT,
        );
        let length = received.as_ref().map_or(0, |received| received.bytes);
        self.came.truncate(length.saturating_sub(1));
        match received {
            Err(error) => Err(error.into()),
            // It has gone without an end.
            Ok(_) if length == 0 => Err(ErrorKind::ConnectionReset.into()),
            Ok(_) => Ok(word[0]),
        }
    }

    /// Tells whether the other guest has taken the connection; `None` while nobody says.
    pub(crate) fn is_taken(&mut self) -> Option<io::Result<()>> {
        match self.receive() {
            Ok(TAKEN) => Some(Ok(())),
            Ok(_) => Some(Err(ErrorKind::InvalidData.into())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_gone) => Some(Err(ErrorKind::ConnectionRefused.into())),
        }
    }

    /// Says that the guest has taken the connection. The first of all messages: there is room.
    pub(crate) fn say_taken(&self) -> io::Result<()> {
        self.send(TAKEN, &[]).map(drop)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send(BYTES, bytes)
    }

    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.came.len() {
            if self.ended {
                return Ok(0);
            }
            match self.receive()? {
                BYTES => {}
                END => self.ended = true,
                _ => return Err(ErrorKind::InvalidData.into()),
            }
        }
        let left = &self.came[self.taken..];
        let count = left.len().min(room.len());
        room[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }

    /// Says that no more bytes come. Where there is no room for it, it is said by the next call.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.send(END, &[]).map(drop)
    }
}

impl Net {
    /// Takes dials of another VM's process.
    pub(crate) fn peer_ready(&mut self, token: Token) {
        for _ in 0..DIALS_A_TURN {
            let Some(peer) = self.peers.names.get(&token).cloned() else {
                return;
            };
            let Some((_, socket)) = self.peers.sockets.get(&peer) else {
                return;
            };
            match dial_of(socket) {
                Ok(Some((port, stream))) => self.dialled(&peer, port, stream),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The other process has gone; the next one is joined anew.
                Err(_) => return self.peers.leave(&peer, &mut self.io),
            }
        }
        // What is left is told anew.
        if let Some((_, socket)) = self
            .peers
            .names
            .get(&token)
            .and_then(|name| self.peers.sockets.get(name))
        {
            let fd = socket.as_raw_fd();
            let _ = self
                .io
                .registry()
                .reregister(&mut SourceFd(&fd), token, Interest::READABLE);
        }
    }

    /// Lets another VM's connection into the guest, unless a rule denies it. Dropped, it is refused.
    fn dialled(&mut self, peer: &Name, port: u16, stream: OwnedFd) {
        if self.flows.len() >= FLOWS_MAX || self.half_open >= HALF_OPEN_MAX {
            self.gate.counters.limited += 1;
            return;
        }
        if let Some(denial) = self.gate.policy.judge_from(peer, port, now_ms() / 1000) {
            let question = Question::Open {
                protocol: Protocol::Tcp,
                destination: Destination::Vm(peer.clone()),
                port,
            };
            self.gate.refuse(&question, denial);
            return;
        }
        let guest = (IpAddr::V4(self.config.guest.v4.address), port);
        // The guest sees who it is: the other VM's address here, and its name.
        let given = name_of(peer).and_then(|name| self.names.give(&name, Vec::new(), self.now));
        let Some(given) = given.filter(|_| port != 0) else {
            return;
        };
        let Some(remote) = self.free_port(guest, given.v4.into()) else {
            return;
        };
        let key = Ends { guest, remote };
        let stream = PeerStream::new(stream);
        let token = self.io.token(Owner::Flow(key));
        if stream.watch(&self.io, token).is_err() {
            self.io.forget(token);
            return;
        }
        let mut flow = Flow::new(token, None, limits::buffers(self.held_bytes));
        flow.backend = Backend::Peer(stream);
        flow.tells_taken = true;
        flow.from = Some((peer.clone(), port));
        self.half_open += 1;
        self.flows.insert(key, Box::new(flow));
        self.open(key);
    }

    /// Begins a connection of the guest's to another VM, which has been inserted.
    pub(crate) fn connect_to_peer(&mut self, key: Ends, vm: &Name) {
        let question = Question::Open {
            protocol: Protocol::Tcp,
            destination: Destination::Vm(vm.clone()),
            port: key.remote.1,
        };
        let (verdict, seq) = self.gate.judge(&question);
        if let Verdict::Deny(_) = verdict {
            return self.fail(&key, &ErrorKind::ConnectionRefused.into());
        }
        let dialled = match self.peers.sockets.get(vm) {
            Some((_, socket)) => dial(socket, key.remote.1),
            None => Err(ErrorKind::HostUnreachable.into()),
        };
        let begun = dialled.and_then(|stream| {
            let token = self.io.token(Owner::Flow(key));
            match stream.watch(&self.io, token) {
                Ok(()) => Ok((token, stream)),
                Err(error) => {
                    self.io.forget(token);
                    Err(error)
                }
            }
        });
        let (token, stream) = match begun {
            Ok(begun) => begun,
            Err(_) => {
                self.failures.take(self.now);
                return self.fail(&key, &ErrorKind::HostUnreachable.into());
            }
        };
        let until = self.now + CONNECT_WITHIN;
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.token = token;
            flow.question = Some(question);
            flow.opened = seq;
            flow.backend = Backend::Peer(stream);
            flow.stage = Stage::Connecting {
                rest: std::collections::VecDeque::new(),
                until,
            };
            self.connecting.insert((until, key));
        }
    }

    /// The address of another VM in this guest; `None` when it is not joined with it.
    pub(crate) fn address_of_peer(&mut self, vm: &Name) -> Option<crate::names::Given> {
        if !self.peers.has(vm) {
            return None;
        }
        self.names.give(&name_of(vm)?, Vec::new(), self.now)
    }
}

/// Asks another process for a connection to a port of its guest.
fn dial(socket: &OwnedFd, port: u16) -> io::Result<PeerStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let theirs = [theirs.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    // The space is made for one.
    ancillary.push(SendAncillaryMessage::ScmRights(&theirs));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(
        socket,
        &[IoSlice::new(&port.to_be_bytes())],
        &mut ancillary,
        flags,
    )?;
    Ok(PeerStream::new(ours))
}

/// The next dial of another process; `Ok(None)` for what is none.
fn dial_of(socket: &OwnedFd) -> io::Result<Option<(u16, OwnedFd)>> {
    let mut port = [0; 2];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut port)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let mut stream = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            stream = descriptors.last().or(stream);
        }
    }
    match received.bytes {
        0 if stream.is_none() => Err(ErrorKind::ConnectionReset.into()),
        2 => Ok(stream.map(|stream| (u16::from_be_bytes(port), stream))),
        _ => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    #[test]
    fn a_connection_that_breaks_off_does_not_look_like_one_that_has_ended() {
        let (here, there) = pair();
        let ours = dial(&here, 5432).unwrap();
        let (port, theirs) = dial_of(&there).unwrap().unwrap();
        assert_eq!(port, 5432);
        let (mut ours, mut theirs) = (ours, PeerStream::new(theirs));
        assert!(ours.is_taken().is_none());
        theirs.say_taken().unwrap();
        assert!(ours.is_taken().unwrap().is_ok());
        let large = vec![7; 3 * MESSAGE_BYTES];
        assert_eq!(ours.write(&large).unwrap(), MESSAGE_BYTES);
        let mut room = [0; 1000];
        let mut count = 0;
        while count < MESSAGE_BYTES {
            count += theirs.read(&mut room).unwrap();
        }
        assert_eq!(count, MESSAGE_BYTES);
        assert_eq!(
            theirs.read(&mut room).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        ours.end().unwrap();
        assert_eq!(theirs.read(&mut room).unwrap(), 0);
        drop(theirs);
        assert_eq!(
            ours.read(&mut room).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }

    #[test]
    fn a_refusal_is_seen_and_what_is_no_dial_is_none() {
        let (here, there) = pair();
        let mut ours = dial(&here, 22).unwrap();
        drop(dial_of(&there).unwrap());
        let refused = ours.is_taken().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        rustix::net::send(&here, b"x", SendFlags::empty()).unwrap();
        assert!(dial_of(&there).unwrap().is_none());
        assert_eq!(dial_of(&there).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(here);
        assert_eq!(
            dial_of(&there).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }

    #[test]
    fn names_of_vms_lie_below_vm() {
        let vm = |name: &str| vm_of(&name.parse().unwrap()).map(|name| name.to_string());
        assert_eq!(vm("db.vm").as_deref(), Some("db"));
        assert_eq!(vm("db.vm.example"), None);
        assert_eq!(vm("vm"), None);
    }
}
