//! The handshake: two sides that know nothing of each other's state agree on the start of a fresh conversation.
//!
//! A record has 64 bytes, in every version of the protocol:
//!
//! ```text
//!  0        16        18      19       24               56        64
//!  │ magic  │ version │ kind  │ zeros  │ nonce          │ FNV-1a  │      numbers are big-endian
//! ```
//!
//! The stream may hold anything before a record: the end of an older conversation that a killed daemon left in the
//! device's queues, or the middle of a frame in a guest restored from a snapshot. So readers skip bytes until a whole
//! record passes its checksum. A guest whose yamux is in the middle of a frame body would take a hello for payload;
//! therefore repeated hellos are preceded by a run of `0xff` longer than any frame: it fills up the body, is no yamux
//! header, ends that conversation, and the hello behind it is seen.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::limits::{
    BOOTING_HELLO_INTERVAL, HELLO_INTERVAL, MAX_HANDSHAKE_SKIP, PROTOCOL_VERSION, SPLIT_SEND,
};

/// Bytes of a record.
pub const RECORD: usize = 64;
/// First bytes of a record. The first one is no yamux version and the second no ASCII.
pub const MAGIC: [u8; 16] = *b"\xb4\x9cbanger-chan\r\n\x1a";
/// Length of the run that ends a conversation: longer than a yamux header and the longest body that is sent.
pub const RESET_RUN: usize = SPLIT_SEND + 64;

/// Fresh random bytes that name one conversation.
pub type Nonce = [u8; 32];

/// Kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Host: asks for an agent.
    Hello,
    /// Guest: yes; waiting for start.
    Ack,
    /// Host: yamux follows.
    Start,
    /// Guest: yamux follows.
    Go,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The sender's [`PROTOCOL_VERSION`].
    pub version: u16,
    /// Its kind.
    pub kind: Kind,
    /// The conversation that it belongs to.
    pub nonce: Nonce,
}

impl Record {
    /// A record of this version.
    #[must_use]
    pub fn new(kind: Kind, nonce: Nonce) -> Self {
        Self {
            version: PROTOCOL_VERSION,
            kind,
            nonce,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..16].copy_from_slice(&MAGIC);
        bytes[16..18].copy_from_slice(&self.version.to_be_bytes());
        bytes[18] = match self.kind {
            Kind::Hello => 1,
            Kind::Ack => 2,
            Kind::Start => 3,
            Kind::Go => 4,
        };
        bytes[24..56].copy_from_slice(&self.nonce);
        let sum = checksum(&bytes[..56]);
        bytes[56..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Reads one, or `None` when the bytes are not a record.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<8>()?;
        if !body.starts_with(&MAGIC) || checksum(body).to_be_bytes() != *sum {
            return None;
        }
        let kind = match body[18] {
            1 => Kind::Hello,
            2 => Kind::Ack,
            3 => Kind::Start,
            4 => Kind::Go,
            _ => return None,
        };
        let mut nonce = [0; 32];
        nonce.copy_from_slice(&body[24..56]);
        Some(Self {
            version: u16::from_be_bytes([body[16], body[17]]),
            kind,
            nonce,
        })
    }
}

/// FNV-1a, 64 bits. It detects accidents, not attacks: a record proves only that it is complete.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Finds records in a stream of any bytes. Holds less than one record.
#[derive(Debug, Default)]
pub struct Scanner {
    held: Vec<u8>,
    skipped: usize,
}

impl Scanner {
    /// Feeds one byte; returns a record if this byte completes one.
    pub fn feed(&mut self, byte: u8) -> Option<Record> {
        self.held.push(byte);
        // Keep the longest tail that may still become a record.
        while !self.held.is_empty() && !self.may_become_record() {
            self.held.remove(0);
            self.skipped += 1;
        }
        let whole: &[u8; RECORD] = self.held.as_slice().try_into().ok()?;
        let record = Record::from_bytes(whole);
        if record.is_some() {
            self.held.clear();
        } else {
            self.held.remove(0);
            self.skipped += 1;
            let tail = std::mem::take(&mut self.held);
            for byte in tail {
                // Shorter than a record, so none can be completed here.
                let _ = self.feed(byte);
            }
        }
        record
    }

    fn may_become_record(&self) -> bool {
        let n = self.held.len().min(MAGIC.len());
        self.held[..n] == MAGIC[..n]
    }

    /// Number of bytes so far that were no part of a record.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}

/// The handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// No answer within this time.
    #[error("the guest's agent did not answer within {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The answer was garbage of so many bytes.
    #[error("the guest sent {0} bytes and no answer to the hello among them")]
    Garbage(usize),
    /// The other side speaks another version.
    #[error("the guest's agent speaks protocol version {guest}, this program version {host}")]
    Version {
        /// Version of this program.
        host: u16,
        /// Version of the guest's agent.
        guest: u16,
    },
    /// The channel was closed.
    #[error("the channel to the guest was closed before the agent answered")]
    Closed,
    /// The channel failed.
    #[error("the channel to the guest failed")]
    Io(#[from] std::io::Error),
}

/// State of the guest that is greeted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// A booting guest: there was no conversation before, and the first hello waits in the device until the agent opens
    /// its port. Each further hello, and a run even more, is work for a machine that is slow just then.
    Booting,
    /// A running guest, which may still be in an older conversation.
    Running,
}

impl Greeting {
    /// Time between two hellos without an answer.
    fn interval(self) -> Duration {
        match self {
            Self::Booting => BOOTING_HELLO_INTERVAL,
            Self::Running => HELLO_INTERVAL,
        }
    }
}

/// The host's part. Afterwards the next byte in both directions is yamux.
///
/// # Errors
/// See [`HandshakeError`]; after `timeout` at the latest.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    greeting: Greeting,
    nonce: Nonce,
    timeout: Duration,
) -> Result<(), HandshakeError> {
    tokio::time::timeout(timeout, greet_until_answered(stream, greeting, nonce))
        .await
        .unwrap_or(Err(HandshakeError::Timeout(timeout)))
}

async fn greet_until_answered<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    greeting: Greeting,
    nonce: Nonce,
) -> Result<(), HandshakeError> {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut scanner = Scanner::default();
    {
        // The two directions run in parallel: a guest that is not ready takes no bytes.
        let acked = read_until(&mut from, &mut scanner, Kind::Ack, nonce);
        tokio::pin!(acked);
        let hellos = repeat_hello(&mut to, greeting, nonce);
        tokio::pin!(hellos);
        tokio::select! {
            biased;
            acked = &mut acked => acked?,
            failed = &mut hellos => return failed.map(|never| match never {}),
        }
    }
    to.write_all(&Record::new(Kind::Start, nonce).to_bytes())
        .await?;
    to.flush().await?;
    read_until(&mut from, &mut scanner, Kind::Go, nonce).await
}

/// Repeats the hello until it is dropped. A run precedes some of them, see the module's documentation.
async fn repeat_hello(
    to: &mut (impl AsyncWrite + Unpin),
    greeting: Greeting,
    nonce: Nonce,
) -> Result<std::convert::Infallible, HandshakeError> {
    let interval = greeting.interval();
    let hello = Record::new(Kind::Hello, nonce).to_bytes();
    let mut next = Instant::now();
    for turn in 0_u32.. {
        if turn % RESET_EVERY == 1 {
            to.write_all(&[0xff; RESET_RUN]).await?;
        }
        to.write_all(&hello).await?;
        to.flush().await?;
        next = next.max(Instant::now() - interval) + interval;
        tokio::time::sleep_until(next).await;
    }
    std::future::pending().await
}

/// A run precedes the second hello and every this many after it: rarely, because a guest that still boots has to read
/// them all.
const RESET_EVERY: u32 = 20;

/// Reads records until the right one arrives.
async fn read_until(
    from: &mut (impl AsyncRead + Unpin),
    scanner: &mut Scanner,
    wanted: Kind,
    nonce: Nonce,
) -> Result<(), HandshakeError> {
    loop {
        let record = next_record(from, scanner, MAX_HANDSHAKE_SKIP).await?;
        if record.nonce != nonce {
            scanner.skipped += RECORD;
            continue;
        }
        if record.version != PROTOCOL_VERSION {
            return Err(HandshakeError::Version {
                host: PROTOCOL_VERSION,
                guest: record.version,
            });
        }
        if record.kind == wanted {
            return Ok(());
        }
        // A repeated hello gets repeated answers. They are counted, so that a guest cannot send them for ever.
        scanner.skipped += RECORD;
    }
}

/// Reads up to the end of the next record and not a byte further.
///
/// # Errors
/// [`HandshakeError::Garbage`] after more than `limit` bytes that were no record, or if the stream fails or ends.
pub async fn next_record(
    from: &mut (impl AsyncRead + Unpin),
    scanner: &mut Scanner,
    limit: usize,
) -> Result<Record, HandshakeError> {
    let mut piece = [0; RECORD];
    loop {
        if scanner.skipped > limit {
            return Err(HandshakeError::Garbage(scanner.skipped));
        }
        // A record that has begun ends exactly here; one that begins later ends later.
        let want = RECORD - scanner.held.len();
        let read = from.read(&mut piece[..want]).await?;
        if read == 0 {
            return Err(HandshakeError::Closed);
        }
        for byte in &piece[..read] {
            if let Some(record) = scanner.feed(*byte) {
                return Ok(record);
            }
        }
    }
}

/// The guest's part: waits for a host without a time limit, and skips all bytes before its hello. Afterwards the next
/// byte in both directions is yamux.
///
/// # Errors
/// [`HandshakeError::Closed`] when the host disconnects, [`HandshakeError::Io`] when the channel fails.
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
) -> Result<(), HandshakeError> {
    let mut acknowledged = None;
    loop {
        let record = next_record(stream, &mut Scanner::default(), usize::MAX).await?;
        let reply = match record.kind {
            Kind::Hello => {
                acknowledged = Some(record.nonce);
                Kind::Ack
            }
            Kind::Start if acknowledged == Some(record.nonce) => Kind::Go,
            _ => continue,
        };
        stream
            .write_all(&Record::new(reply, record.nonce).to_bytes())
            .await?;
        stream.flush().await?;
        if reply == Kind::Go {
            return Ok(());
        }
    }
}

/// Ends any older conversation of the other side: for an agent's service that lost its own in a crash, which its host
/// cannot see. A host that is already greeting skips these bytes.
///
/// # Errors
/// Fails when the channel fails.
pub async fn end_old_conversation(to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    to.write_all(&[0xff; RESET_RUN]).await?;
    to.flush().await
}

#[cfg(test)]
mod tests;
