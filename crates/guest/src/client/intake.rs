//! Filter for the bytes of a guest, before the multiplexer sees them.
//!
//! ```text
//!                ┌ of 1 KiB and more ──────────────────────────────► multiplexer ──► the call's reader
//! socket ─ frames┼ smaller ──► held for the call ──► 16 KiB of them, or a waiting reader ────┘
//!                └ empty, for no call, pings, windows ──► counted against a budget
//! ```
//!
//! The multiplexer keeps each frame of a call by itself until it is read, and its window counts bytes: one-byte frames
//! cost thirty times their size. Merged, the memory of a call is its window and little more, for any size of its
//! frames. Frames of no call are bounded by a budget that refills with time and with the ends of calls.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf, BufMut, BytesMut};
use futures::io::{AsyncRead, AsyncWrite};

use crate::limits::{CALL_WINDOW, MAX_CALLS, SPLIT_SEND};

/// Bytes of a frame's header (the specification of yamux).
const HEADER: usize = 12;
/// Kinds of frames, at the header's second byte.
const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
/// Flags, at its third and fourth.
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

/// Frames of at least this many bytes are passed on unchanged.
const SMALL: usize = 1024;
/// Number of held bytes that become one frame.
const MERGED: usize = SPLIT_SEND;

/// Budget for unrequested frames, as a cost in bytes: as much as can be in flight for all calls, dropped at once, in
/// the smallest frames that commands make.
const BUDGET: u64 = (MAX_CALLS * CALL_WINDOW) as u64 * 4;
/// Part of the budget that returns each second.
const REFILL: u64 = 1024 * 1024;
/// Part of the budget that returns with the end of a call: frames for it may still be in flight.
const PER_CALL: u64 = 2 * CALL_WINDOW as u64;
/// Cost of a frame besides its bytes: the work for it.
const FRAME_COST: u64 = 32;
/// The same for an empty frame, of which an honest guest sends few.
const IDLE_COST: u64 = 256;

/// The open calls, and the held bytes of each. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<u32, Call>,
    /// Calls whose held bytes a reader waits for.
    ready: VecDeque<u32>,
    driver: Option<Waker>,
    ended: u64,
}

#[derive(Debug, Default)]
struct Call {
    held: BytesMut,
    /// True when its reader has read everything and waits.
    hungry: bool,
    acknowledged: bool,
    finished: bool,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change is complete before a panic is possible: a poisoned lock has valid data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a new call.
    pub(super) fn open(&self, id: u32) {
        self.lock().open.insert(id, Call::default());
    }

    /// Forgets a dropped call.
    pub(super) fn close(&self, id: u32) {
        let mut inner = self.lock();
        inner.open.remove(&id);
        inner.ended += 1;
    }

    /// Notes that a call's reader waits for more.
    pub(super) fn wait(&self, id: u32) {
        let mut inner = self.lock();
        let Some(call) = inner.open.get_mut(&id) else {
            return;
        };
        call.hungry = true;
        if !call.held.is_empty() {
            inner.ready.push_back(id);
            if let Some(driver) = inner.driver.take() {
                driver.wake();
            }
        }
    }

    /// Bytes that wait for a call outside of the multiplexer.
    #[cfg(test)]
    fn held(&self, id: u32) -> usize {
        self.lock().open.get(&id).map_or(0, |call| call.held.len())
    }
}

/// The guest sent too many unrequested bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0} bytes that belong to no call")]
pub(super) struct Flood(pub(super) u64);

/// A guest's socket, with small frames merged and unrequested ones counted.
pub(super) struct Intake<S> {
    inner: S,
    calls: Calls,
    budget: Budget,
    header: [u8; HEADER],
    place: Place,
    /// Whole frames on their way to the multiplexer.
    out: BytesMut,
}

/// Position in the guest's stream.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Inside a header, of which so many bytes have arrived.
    Header(usize),
    /// Inside a frame, of which so many bytes are still to be passed on.
    Pass(usize),
    /// Inside a small frame, of which so many bytes are still to be held for a call.
    Hold(u32, usize),
}

impl<S> Intake<S> {
    pub(super) fn new(inner: S, calls: Calls) -> Self {
        Self {
            inner,
            calls,
            budget: Budget::new(),
            header: [0; HEADER],
            place: Place::Header(0),
            out: BytesMut::new(),
        }
    }

    /// Decides about the frame whose header is complete.
    fn begin(&mut self) -> io::Result<()> {
        let [_, kind, f1, f0, s3, s2, s1, s0, l3, l2, l1, l0] = self.header;
        let flags = u16::from_be_bytes([f1, f0]);
        let id = u32::from_be_bytes([s3, s2, s1, s0]);
        let value = u32::from_be_bytes([l3, l2, l1, l0]);
        // The value is a length only in a data frame.
        let len = match kind {
            DATA => usize::try_from(value).unwrap_or(usize::MAX),
            _ => 0,
        };
        let calls = self.calls.clone();
        let mut calls = calls.lock();
        self.budget.give_back(std::mem::take(&mut calls.ended));
        let call = calls.open.get_mut(&id);
        match (kind, call) {
            (DATA | WINDOW_UPDATE, Some(call)) => {
                if call.finished && len > 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "data behind the end of a call",
                    ));
                }
                let new = flags & ACK != 0 && !call.acknowledged;
                call.acknowledged |= flags & ACK != 0;
                call.finished |= flags & FIN != 0;
                let plain = flags & !ACK == 0 && !new;
                if kind == DATA && plain && len == 0 {
                    self.place = Place::Header(0);
                    return self.budget.spend(IDLE_COST);
                }
                if kind == DATA && plain && len < SMALL {
                    self.place = Place::Hold(id, len);
                    return Ok(());
                }
                if kind == WINDOW_UPDATE {
                    self.budget.spend(IDLE_COST)?;
                }
                // Held bytes go first, to keep the order.
                if kind == DATA || flags & (FIN | RST) != 0 {
                    let held = call.held.split();
                    self.emit(id, &held)?;
                }
            }
            (PING, _) => self.budget.spend(IDLE_COST)?,
            _ => self.budget.spend(FRAME_COST + (HEADER + len) as u64)?,
        }
        self.out.put_slice(&self.header);
        self.place = match len {
            0 => Place::Header(0),
            len => Place::Pass(len),
        };
        Ok(())
    }

    /// One frame of data for the multiplexer.
    fn emit(&mut self, id: u32, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let len = u32::try_from(data.len()).map_err(io::Error::other)?;
        self.out.put_slice(&[0, DATA, 0, 0]);
        self.out.put_u32(id);
        self.out.put_u32(len);
        self.out.put_slice(data);
        Ok(())
    }

    /// Holds bytes of a small frame, and passes the held ones on when they are many or a reader waits.
    fn hold(&mut self, id: u32, data: &[u8], last: bool) -> io::Result<()> {
        let calls = self.calls.clone();
        let mut calls = calls.lock();
        let Some(call) = calls.open.get_mut(&id) else {
            // The call was dropped in the middle of the frame.
            return self.budget.spend(FRAME_COST + data.len() as u64);
        };
        call.held.put_slice(data);
        if last && (call.hungry || call.held.len() >= MERGED) {
            call.hungry = false;
            let held = call.held.split();
            return self.emit(id, &held);
        }
        Ok(())
    }

    /// Passes on the bytes that a reader waits for; otherwise a waiting reader will wake the driver.
    fn feed(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let calls = self.calls.clone();
        let mut calls = calls.lock();
        while let Some(id) = calls.ready.pop_front() {
            let Some(call) = calls.open.get_mut(&id).filter(|call| call.hungry) else {
                continue;
            };
            if !call.held.is_empty() {
                call.hungry = false;
                let held = call.held.split();
                return self.emit(id, &held);
            }
        }
        calls.driver = Some(cx.waker().clone());
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Intake<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if this.out.is_empty() && !matches!(this.place, Place::Pass(_)) {
                this.feed(cx)?;
            }
            if !this.out.is_empty() {
                let count = this.out.len().min(buf.len());
                buf[..count].copy_from_slice(&this.out[..count]);
                this.out.advance(count);
                return Poll::Ready(Ok(count));
            }
            let inner = Pin::new(&mut this.inner);
            match this.place {
                Place::Header(filled) => {
                    let count = ready!(inner.poll_read(cx, &mut this.header[filled..]))?;
                    match filled + count {
                        _ if count == 0 => return Poll::Ready(Ok(0)),
                        HEADER => this.begin()?,
                        filled => this.place = Place::Header(filled),
                    }
                }
                Place::Pass(left) => {
                    let count = left.min(buf.len());
                    let count = ready!(inner.poll_read(cx, &mut buf[..count]))?;
                    this.place = match left - count {
                        0 => Place::Header(0),
                        left => Place::Pass(left),
                    };
                    return Poll::Ready(Ok(count));
                }
                Place::Hold(id, left) => {
                    let mut data = [0; SMALL];
                    let count = ready!(inner.poll_read(cx, &mut data[..left]))?;
                    if count == 0 {
                        return Poll::Ready(Ok(0));
                    }
                    let left = left - count;
                    this.place = match left {
                        0 => Place::Header(0),
                        left => Place::Hold(id, left),
                    };
                    this.hold(id, &data[..count], left == 0)?;
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Intake<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// Budget for unrequested bytes. Time and calls refill it up to its start value, never above.
#[derive(Debug)]
struct Budget {
    spent: u64,
    total: u64,
    since: Instant,
}

impl Budget {
    fn new() -> Self {
        Self {
            spent: 0,
            total: 0,
            since: Instant::now(),
        }
    }

    fn give_back(&mut self, calls: u64) {
        self.spent = self.spent.saturating_sub(calls.saturating_mul(PER_CALL));
    }

    fn spend(&mut self, cost: u64) -> io::Result<()> {
        let seconds = self.since.elapsed().as_secs();
        if seconds > 0 {
            self.since = Instant::now();
            self.spent = self.spent.saturating_sub(seconds.saturating_mul(REFILL));
        }
        self.spent += cost;
        self.total += cost;
        if self.spent > BUDGET {
            return Err(io::Error::other(Flood(self.total)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::io::{AsyncReadExt as _, Cursor};

    use super::*;

    fn frame(kind: u8, flags: u16, id: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, kind];
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn data(id: u32, bytes: &[u8]) -> Vec<u8> {
        frame(DATA, 0, id, bytes)
    }

    async fn through(calls: &Calls, sent: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut intake = Intake::new(Cursor::new(sent), calls.clone());
        let mut out = Vec::new();
        intake.read_to_end(&mut out).await?;
        Ok(out)
    }

    fn calls() -> Calls {
        let calls = Calls::default();
        calls.open(1);
        calls
    }

    #[tokio::test]
    async fn small_frames_are_held_until_they_are_many_or_the_next_is_large() {
        let calls = calls();
        let tiny: Vec<u8> = (0..MERGED + 5).flat_map(|_| data(1, b"x")).collect();
        let out = through(&calls, tiny).await.unwrap();
        assert_eq!(out, data(1, &[b'x'; MERGED]));
        assert_eq!(calls.held(1), 5);
        let large = vec![b'y'; SMALL];
        let out = through(&calls, data(1, &large)).await.unwrap();
        assert_eq!(out, [data(1, b"xxxxx"), data(1, &large)].concat());
    }

    #[tokio::test]
    async fn a_reader_that_waits_gets_what_there_is() {
        let calls = calls();
        calls.wait(1);
        let sent = [data(1, b"a"), data(1, b"b"), data(1, b"c")].concat();
        assert_eq!(through(&calls, sent).await.unwrap(), data(1, b"a"));
        calls.wait(1);
        assert_eq!(through(&calls, Vec::new()).await.unwrap(), data(1, b"bc"));
    }

    #[tokio::test]
    async fn the_end_of_a_call_comes_behind_its_data_and_nothing_behind_it() {
        let calls = calls();
        let end = frame(DATA, FIN, 1, b"");
        let out = through(&calls, [data(1, b"a"), end.clone()].concat())
            .await
            .unwrap();
        assert_eq!(out, [data(1, b"a"), end].concat());
        let error = through(&calls, data(1, b"more")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn an_acknowledgement_passes_once_and_does_not_keep_frames_small() {
        let calls = calls();
        let tiny = frame(DATA, ACK, 1, b"x");
        let out = through(&calls, [tiny.clone(), tiny.clone(), tiny.clone()].concat()).await;
        assert_eq!(out.unwrap(), tiny);
        assert_eq!(calls.held(1), 2);
    }

    #[tokio::test]
    async fn frames_that_say_nothing_and_frames_for_nobody_are_cut_off() {
        for odd in [
            data(1, b""),
            data(99, b""),
            data(99, b"x"),
            frame(PING, 1, 0, b""),
        ] {
            let calls = calls();
            let many = odd.repeat(2_000_000);
            let error = through(&calls, many).await.unwrap_err();
            assert!(
                error.get_ref().is_some_and(|error| error.is::<Flood>()),
                "{error}"
            );
        }
    }

    #[test]
    fn no_credit_grows_with_calls_or_time() {
        let mut budget = Budget::new();
        budget.give_back(1_000_000);
        budget.spend(BUDGET).unwrap();
        assert!(budget.spend(PER_CALL).is_err());
        budget.give_back(3);
        budget.spend(PER_CALL).unwrap();
    }
}
