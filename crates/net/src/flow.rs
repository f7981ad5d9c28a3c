//! One connection of TCP, with the guest at one side and the host at the other.
//!
//! ```text
//! SYN of the guest ─► Finding ─► Connecting ─► Open ─► (both sides have closed, or one has reset)
//!                     the name's    the host's    bytes both ways
//!                     addresses     connect, and the proxy's where there is one
//! connection to a published port ─► Open at once: the guest's socket dials
//! ```
//!
//! The guest's SYN is answered when the host's connection stands, so a refused connection is refused, not cut.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use banger_egress::{Destination, Name, Question};
use banger_secret::SecretName;
use mio::Token;
use mio::net::TcpStream;
use rustix::net::sockopt;
use smoltcp::socket::tcp::State;

use crate::endpoint::Endpoint;
use crate::ends::Ends;
use crate::guest_tcp::{Buffers, GuestTcp};
use crate::link::Link;
use crate::local::Local;
use crate::peek::{HEAD_MAX_BYTES, Peeked, peek};
use crate::peers::PeerStream;
use crate::proxy::Asking;

/// Bytes that one connection moves before others have their turn.
const TURN_BYTES: usize = 1 << 20;

/// Host's side of a connection.
pub(crate) enum Backend {
    /// None yet.
    None,
    /// A socket.
    Stream(TcpStream),
    /// A service of this process.
    Local(Local),
    /// The process of another VM.
    Peer(PeerStream),
    /// The host of a secret, through its endpoint.
    Endpoint(Box<Endpoint>),
}

/// Stage of a connection.
pub(crate) enum Stage {
    /// The host looks for the addresses of its name.
    Finding,
    /// The host connects; these addresses are left to try.
    Connecting {
        rest: VecDeque<(Question, SocketAddr)>,
        until: Instant,
    },
    /// Bytes go both ways.
    Open,
    /// It is over.
    Ended,
}

/// One connection.
pub(crate) struct Flow {
    pub(crate) token: Token,
    /// Question that the policy was asked; `None` for published ports and services of this process.
    pub(crate) question: Option<Question>,
    /// Number of the audit event that tells of its opening.
    pub(crate) opened: u64,
    pub(crate) since: Instant,
    pub(crate) stage: Stage,
    pub(crate) backend: Backend,
    pub(crate) guest: Option<GuestTcp>,
    pub(crate) buffers: Buffers,
    /// The guest's SYN, until it is answered.
    pub(crate) syn: Vec<u8>,
    /// The host's socket is connected: to the proxy, when one is asked.
    pub(crate) connected: bool,
    /// The conversation with the proxy that leads there.
    pub(crate) asking: Option<Asking>,
    /// The secret whose endpoint it is to.
    pub(crate) secret: Option<SecretName>,
    /// The name that its first bytes must name.
    pub(crate) expects: Option<Name>,
    /// The VM that has dialled it, and its port, when it is another VM's connection into the guest.
    pub(crate) from: Option<(Name, u16)>,
    /// The other VM's process waits for the word that the guest has taken it.
    pub(crate) tells_taken: bool,
    /// The port of the guest's that its agent is told before anything else.
    pub(crate) told: Option<u16>,
    /// The host's socket may have something to read.
    pub(crate) readable: bool,
    host_ended: bool,
    guest_ended: bool,
    /// Bytes from the guest, and to it.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Time of smoltcp, microseconds, at which it wants to be called.
    pub(crate) due: Option<i64>,
    /// It stopped in the middle of a turn.
    pub(crate) has_more: bool,
}

/// Result of a turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It goes on.
    Goes,
    /// It is over.
    Over,
    /// Its first bytes name another host, or none that can be read.
    Lies,
}

impl Flow {
    pub(crate) fn new(token: Token, question: Option<Question>, buffers: Buffers) -> Self {
        Self {
            token,
            question,
            opened: 0,
            since: Instant::now(),
            stage: Stage::Finding,
            backend: Backend::None,
            guest: None,
            buffers,
            syn: Vec::new(),
            connected: false,
            asking: None,
            secret: None,
            expects: None,
            from: None,
            tells_taken: false,
            told: None,
            readable: false,
            host_ended: false,
            guest_ended: false,
            sent: 0,
            received: 0,
            due: None,
            has_more: false,
        }
    }

    /// The name in its question.
    pub(crate) fn name(&self) -> Option<&Name> {
        match self.question.as_ref()? {
            Question::Open {
                destination: Destination::Named { name, .. },
                ..
            } => Some(name),
            _ => None,
        }
    }

    /// Time at which the host's connect has taken too long, while it goes on.
    pub(crate) fn waits_until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Connecting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Moves what can be moved, both ways.
    pub(crate) fn turn(&mut self, link: &mut Link, now: smoltcp::time::Instant) -> Turn {
        if self.guest.is_none() {
            return Turn::Goes;
        }
        self.has_more = false;
        if self.expects.is_some() && !self.look() {
            return Turn::Lies;
        }
        let moved = self.say_taken();
        let moved = moved.and_then(|()| self.carry_out());
        if matches!(self.backend, Backend::Endpoint(_)) {
            // It answers by itself, too.
            self.readable = true;
        }
        let given = self.received;
        let moved = moved.and_then(|()| self.carry_in());
        // With an answer there may be room for the next request.
        self.has_more |= matches!(self.backend, Backend::Endpoint(_)) && self.received > given;
        let Some(guest_side) = &mut self.guest else {
            return Turn::Over;
        };
        if moved.is_err() {
            guest_side.socket().abort();
        }
        guest_side.advance(link, now);
        self.due = guest_side.due(now).map(|due| due.total_micros());
        match guest_side.socket().state() {
            State::Closed => {
                let clean = self.host_ended && self.guest_ended && moved.is_ok();
                self.end(clean);
                Turn::Over
            }
            // Nobody speaks any more; what the guest might repeat is answered with a reset.
            State::TimeWait => {
                self.end(true);
                Turn::Over
            }
            _ => Turn::Goes,
        }
    }

    /// Tells another VM's process that the guest has taken its connection.
    fn say_taken(&mut self) -> io::Result<()> {
        let (Some(guest), Backend::Peer(stream)) = (&mut self.guest, &self.backend) else {
            return Ok(());
        };
        if self.tells_taken && guest.socket().state() == State::Established {
            self.tells_taken = false;
            stream.say_taken()?;
        }
        Ok(())
    }

    /// Looks at the first bytes. False: they lie.
    fn look(&mut self) -> bool {
        let (Some(guest), Some(expected)) = (&mut self.guest, &self.expects) else {
            return true;
        };
        let socket = guest.socket();
        let is_over = !socket.may_recv();
        let bytes = socket.peek(HEAD_MAX_BYTES).unwrap_or_default();
        match peek(bytes) {
            Peeked::More if is_over && !bytes.is_empty() => false,
            Peeked::More => true,
            Peeked::Nothing => {
                self.expects = None;
                true
            }
            Peeked::Host(name) if name == *expected => {
                self.expects = None;
                true
            }
            Peeked::Host(_) | Peeked::Odd => false,
        }
    }

    fn carry_out(&mut self) -> io::Result<()> {
        let Some(guest) = &mut self.guest else {
            return Ok(());
        };
        let socket = guest.socket();
        // Held until its first bytes have been looked at.
        if self.expects.is_some() {
            return Ok(());
        }
        let mut failed = None;
        let mut taken = 0;
        while socket.can_recv() && taken < TURN_BYTES {
            let backend = &mut self.backend;
            let result = socket.recv(|bytes| match backend.write(bytes) {
                Ok(count) => (count, count),
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        failed = Some(error);
                    }
                    (0, 0)
                }
            });
            match result {
                Ok(0) | Err(_) => break,
                Ok(count) => taken += count,
            }
        }
        self.sent += taken as u64;
        self.has_more |= taken >= TURN_BYTES;
        if let Some(error) = failed {
            return Err(error);
        }
        let opens = matches!(
            socket.state(),
            // Closed here: the guest has reset it, and the host's side is reset too.
            State::Listen | State::SynReceived | State::SynSent | State::Closed
        );
        if !opens && !socket.may_recv() && !socket.can_recv() && !self.guest_ended {
            // Where there is no room for it, it is told as soon as there is.
            self.guest_ended = self.backend.end_of_guest()?;
        }
        Ok(())
    }

    fn carry_in(&mut self) -> io::Result<()> {
        let Some(guest) = &mut self.guest else {
            return Ok(());
        };
        let socket = guest.socket();
        if let Some(port) = self.told {
            // Both bytes, or none: nothing is before them in an empty buffer.
            if !socket.can_send() || socket.send_slice(&port.to_be_bytes()) != Ok(2) {
                return Ok(());
            }
            self.told = None;
        }
        let mut failed = None;
        let mut given = 0;
        while self.readable && !self.host_ended && socket.can_send() && given < TURN_BYTES {
            let backend = &mut self.backend;
            let (mut ended, mut waits) = (false, false);
            let result = socket.send(|room| match backend.read(room) {
                Ok(0) => {
                    ended = !room.is_empty();
                    (0, 0)
                }
                Ok(count) => (count, count),
                Err(error) => {
                    waits = true;
                    if error.kind() != ErrorKind::WouldBlock {
                        failed = Some(error);
                    }
                    (0, 0)
                }
            });
            self.host_ended |= ended;
            self.readable &= !waits;
            match result {
                Ok(0) | Err(_) => break,
                Ok(count) => given += count,
            }
        }
        self.received += given as u64;
        self.has_more |= given >= TURN_BYTES;
        if let Some(error) = failed {
            return Err(error);
        }
        if self.host_ended && socket.may_send() {
            socket.close();
        }
        Ok(())
    }

    /// Ends the host's side: with a reset unless both sides have closed.
    pub(crate) fn end(&mut self, clean: bool) {
        if let (Backend::Stream(stream), false) = (&self.backend, clean) {
            // Closing then resets; where that fails it closes.
            let _ = sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
        }
        self.stage = Stage::Ended;
    }

    /// Resets the guest's side, when it has been answered.
    pub(crate) fn reset_guest(&mut self, link: &mut Link, now: smoltcp::time::Instant) {
        if let Some(guest) = &mut self.guest {
            guest.socket().abort();
            guest.advance(link, now);
        }
    }

    /// Bytes of its buffers.
    pub(crate) fn held(&self) -> usize {
        match self.guest {
            Some(_) => self.buffers.receive + self.buffers.send,
            None => 0,
        }
    }

    /// Lets the guest's side be served: answers its SYN, or dials.
    pub(crate) fn open(
        &mut self,
        key: &Ends,
        mtu: usize,
        link: &mut Link,
        now: smoltcp::time::Instant,
    ) -> bool {
        let syn = std::mem::take(&mut self.syn);
        let mut guest = GuestTcp::new(key, self.buffers, mtu, link, now);
        let begun = match syn.is_empty() {
            true => guest.dial(key, link, now),
            false => guest.accept(key),
        };
        if !begun {
            return false;
        }
        if !syn.is_empty() {
            guest.receive(&syn, link, now);
        }
        self.guest = Some(guest);
        self.stage = Stage::Open;
        self.readable = true;
        true
    }
}

impl Backend {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None => Err(ErrorKind::WouldBlock.into()),
            Self::Stream(stream) => retried(|| stream.write(bytes)),
            Self::Local(local) => Ok(local.take(bytes)),
            Self::Peer(stream) => stream.write(bytes),
            Self::Endpoint(endpoint) => endpoint.write(bytes),
        }
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None => Err(ErrorKind::WouldBlock.into()),
            Self::Stream(stream) => retried(|| stream.read(room)),
            Self::Local(local) => local.give(room),
            Self::Peer(stream) => stream.read(room),
            Self::Endpoint(endpoint) => endpoint.read(room),
        }
    }

    /// Tells that nothing more comes. False: not yet.
    fn end_of_guest(&mut self) -> io::Result<bool> {
        match self {
            Self::None => {}
            // A socket that the other side has reset cannot be shut down, and need not.
            Self::Stream(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Local(local) => local.end(),
            Self::Peer(stream) => {
                let ended = stream.end().map_err(|error| error.kind());
                return Ok(ended != Err(ErrorKind::WouldBlock));
            }
            Self::Endpoint(endpoint) => endpoint.guest_ended()?,
        }
        Ok(true)
    }
}

fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
