//! Standard input, read by a thread that nothing waits for.
//!
//! ```text
//! taken back: at a terminal, for a guest that counts nothing    read ──► chunks
//! counted:    a pipe, socket, file                              look ──► chunks … taken(n) ──► read n bytes
//! ```
//!
//! Of an input that can be looked at, only that is read which the guest command has read; the rest stays for whoever
//! reads next. Nothing runs ahead of the command by more than the protocol's window.

use std::io::{self, Stdin};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use banger_guest::limits::STDIN_WINDOW;
use bytes::Bytes;
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};

use super::peek::{Look, Peek};
use crate::failure::{Failure, host_error};

/// Largest chunk, in bytes. It must fit one frame of the guest protocol.
const CHUNK: usize = 32 * 1024;
/// Chunks that may wait to be sent.
const QUEUE: usize = 4;
/// Time for the last bytes that the command has read to be read here: they are there already.
const LAST_READ: Duration = Duration::from_secs(1);

const _: () = assert!(CHUNK <= banger_guest::limits::MAX_FRAME);

/// Chunks of standard input; the channel ends where the input does.
///
/// # Errors
/// The thread cannot be started.
pub fn start() -> Result<mpsc::Receiver<Bytes>, Failure> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    spawn(move || read(&sender, None))?;
    Ok(receiver)
}

/// Standard input of a command whose guest counts what it reads.
#[derive(Debug)]
pub struct CountedInput {
    /// Chunks of it; the channel ends where the input does.
    pub chunks: mpsc::Receiver<Bytes>,
    taken: Taken,
    ended: oneshot::Receiver<()>,
}

/// Number of bytes that the command has read.
#[derive(Debug, Clone)]
pub struct Taken(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: AtomicU64,
    over: AtomicBool,
    wake: OwnedFd,
}

impl Taken {
    /// The command has read so many bytes, in all.
    pub fn set(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.0.wake, &1_u64.to_ne_bytes());
    }
}

impl CountedInput {
    /// # Errors
    /// The thread cannot be started.
    pub fn start() -> Result<Self, Failure> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| host_error("cannot make an eventfd", &error.into()))?;
        let taken = Taken(Arc::new(Shared {
            bytes: AtomicU64::new(0),
            over: AtomicBool::new(false),
            wake,
        }));
        let (sender, chunks) = mpsc::channel(QUEUE);
        let (told, ended) = oneshot::channel();
        let shared = Arc::clone(&taken.0);
        spawn(move || {
            match Peek::new(io::stdin()) {
                // Input that cannot be read any more has ended.
                Ok(peek) => drop(look(peek, sender, &shared)),
                Err(_terminal) => {
                    // Whatever is read is read: there is nothing to wait for.
                    let _ = told.send(());
                    return read(&sender, Some(&shared));
                }
            }
            let _ = told.send(());
        })?;
        Ok(Self {
            chunks,
            taken,
            ended,
        })
    }

    /// Receiver of the number of bytes that the command has read.
    pub fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// Leaves standard input where the command has left it.
    pub async fn finish(self) {
        drop(self.chunks);
        self.taken.0.over.store(true, Ordering::Release);
        self.taken.wake();
        // Somebody else who shares it may hold it: that is no reason to stay.
        let _ = tokio::time::timeout(LAST_READ, self.ended).await;
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(work)
        .map_err(|source| host_error("cannot start a thread", &source))?;
    Ok(())
}

/// Looks at input, sends it, and reads what was taken.
fn look(mut peek: Peek<Stdin>, sender: mpsc::Sender<Bytes>, shared: &Shared) -> io::Result<()> {
    let mut waiting = Waiting::new(&peek, shared)?;
    let mut sender = Some(sender);
    let (mut sent, mut read) = (0, 0);
    loop {
        let over = shared.over.load(Ordering::Acquire);
        let taken = shared.bytes.load(Ordering::Acquire).min(sent);
        if taken > read {
            peek.read(taken - read)?;
            read = taken;
        }
        if over {
            return Ok(());
        }
        let ahead = usize::try_from(sent - read).unwrap_or(STDIN_WINDOW);
        let room = STDIN_WINDOW.saturating_sub(ahead);
        if let Some(to) = sender.as_ref().filter(|_| room > 0) {
            // What cannot be looked at any more has ended.
            match peek.behind(ahead, room).unwrap_or(Look::End) {
                Look::Bytes(bytes) => {
                    let count = bytes.len() as u64;
                    if send(to, bytes.into()) {
                        sent += count;
                    } else {
                        sender = None;
                    }
                    continue;
                }
                Look::End => sender = None,
                Look::Nothing => {}
            }
        }
        waiting.wait(sender.is_some() && room > 0)?;
    }
}

fn send(to: &mpsc::Sender<Bytes>, mut bytes: Bytes) -> bool {
    while !bytes.is_empty() {
        let chunk = bytes.split_to(bytes.len().min(CHUNK));
        if to.blocking_send(chunk).is_err() {
            return false;
        }
    }
    true
}

/// Waits for more input or news of the command.
///
/// An input with unread bytes is always ready; only changes count (epoll(7), edge-triggered).
struct Waiting<'a> {
    shared: &'a Shared,
    epoll: OwnedFd,
}

const NEWS: u64 = 0;
const INPUT: u64 = 1;

impl<'a> Waiting<'a> {
    fn new(peek: &Peek<Stdin>, shared: &'a Shared) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(NEWS);
        epoll::add(&epoll, &shared.wake, data, epoll::EventFlags::IN)?;
        if let Some(input) = peek.waits() {
            let changes = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            epoll::add(&epoll, input, epoll::EventData::new_u64(INPUT), changes)?;
        }
        Ok(Self { shared, epoll })
    }

    fn wait(&mut self, for_input: bool) -> io::Result<()> {
        loop {
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(NEWS),
            }; 2];
            let count = match epoll::wait(&self.epoll, &mut events, None) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut news = false;
            for event in &events[..count] {
                match event.data.u64() {
                    NEWS => {
                        news = true;
                        let _ = rustix::io::read(&self.shared.wake, &mut [0; 8]);
                    }
                    _ => news |= for_input,
                }
            }
            if news {
                return Ok(());
            }
        }
    }
}

/// Reads input as it comes, and no more ahead of the command than the window where somebody counts.
fn read(sender: &mpsc::Sender<Bytes>, counted: Option<&Shared>) {
    // Not through `Stdin`: we want what is there, without its buffer.
    let stdin = io::stdin();
    let mut chunk = vec![0; CHUNK];
    let mut sent = 0;
    loop {
        let room = match counted {
            Some(shared) => match room(shared, sent) {
                Some(room) => room.min(CHUNK),
                None => return,
            },
            None => CHUNK,
        };
        match rustix::io::read(&stdin, &mut chunk[..room]) {
            Ok(0) => return,
            Ok(count) => {
                let bytes = Bytes::copy_from_slice(&chunk[..count]);
                sent += count as u64;
                if sender.blocking_send(bytes).is_err() {
                    return;
                }
            }
            Err(Errno::INTR) => {}
            // Whoever shares this file with us has made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
                // A failed wait shows in the next read.
                let _ = poll(&mut ready, None);
            }
            // Input that cannot be read has ended: a terminal that is gone, a background job.
            Err(_ended) => return,
        }
    }
}

/// Number of bytes that may be read ahead of the command, at least one; none when nobody takes them any more.
fn room(shared: &Shared, sent: u64) -> Option<usize> {
    loop {
        if shared.over.load(Ordering::Acquire) {
            return None;
        }
        let ahead = sent.saturating_sub(shared.bytes.load(Ordering::Acquire));
        let room = STDIN_WINDOW.saturating_sub(usize::try_from(ahead).unwrap_or(STDIN_WINDOW));
        if room > 0 {
            return Some(room);
        }
        let mut ready = [PollFd::new(&shared.wake, PollFlags::IN)];
        // A failed wait is one that was too short.
        let _ = poll(&mut ready, None);
        let _ = rustix::io::read(&shared.wake, &mut [0; 8]);
    }
}
