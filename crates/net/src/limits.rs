//! Limits of what a guest can make its process hold or do.

use std::time::{Duration, Instant};

use crate::guest_tcp::Buffers;

/// Connections of TCP at once.
pub(crate) const FLOWS_MAX: usize = 4096;
/// Connections that the host has not answered yet. A guest's further attempts wait: its kernel repeats them.
pub(crate) const HALF_OPEN_MAX: usize = 256;
/// Failed connections a second: what a scan of a network consists of.
pub(crate) const FAILURES_A_SECOND: u32 = 64;
/// Failed connections at once, before the rate counts.
pub(crate) const FAILURES_AT_ONCE: u32 = 512;
/// Pairs of UDP at once; the least recently used one makes room.
pub(crate) const UDP_PAIRS_MAX: usize = 512;
/// Echo requests that are waited for at once.
pub(crate) const PINGS_MAX: usize = 64;
/// Connections to endpoints of secrets at once: each has TLS, and some 150 KiB with it.
pub(crate) const ENDPOINTS_MAX: usize = 256;
/// Other VMs that one is joined with.
pub(crate) const PEERS_MAX: usize = 64;
/// Questions to the name server a second.
pub(crate) const LOOKUPS_A_SECOND: u32 = 200;
/// Questions at once, before the rate counts.
pub(crate) const LOOKUPS_AT_ONCE: u32 = 400;
/// Questions that wait for the host's name servers.
pub(crate) const QUERIES_MAX: usize = 256;
/// Names that have an address.
pub(crate) const NAMES_MAX: usize = 16_384;
/// Time for one address of a host to answer.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The same when another address is left to try.
pub(crate) const CONNECT_NEXT_AFTER: Duration = Duration::from_secs(2);
/// Time for a proxy to answer.
pub(crate) const PROXY_WITHIN: Duration = Duration::from_secs(30);
/// Idle time after which a pair of UDP is closed.
pub(crate) const UDP_IDLE: Duration = Duration::from_secs(60);
/// Time for an echo reply.
pub(crate) const PING_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of all buffers at which new connections get small ones.
const LARGE_UNTIL_BYTES: usize = 128 << 20;
const LARGE_BYTES: usize = 256 << 10;
const SMALL_BYTES: usize = 16 << 10;

/// Buffers of a new connection beside those that hold `held` bytes. With [`FLOWS_MAX`] of them all are below 256 MiB.
pub(crate) fn buffers(held: usize) -> Buffers {
    let bytes = match held < LARGE_UNTIL_BYTES {
        true => LARGE_BYTES,
        false => SMALL_BYTES,
    };
    Buffers {
        receive: bytes,
        send: bytes,
    }
}

/// A rate: so many a second, and so many at once.
#[derive(Debug)]
pub(crate) struct Rate {
    a_second: u32,
    at_once: u32,
    left: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(a_second: u32, at_once: u32, now: Instant) -> Self {
        Self {
            a_second,
            at_once,
            left: f64::from(at_once),
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let more = passed * f64::from(self.a_second);
        self.left = (self.left + more).min(f64::from(self.at_once));
        self.at = now;
    }

    /// Takes one, if one is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }

    /// Tells whether one is left.
    pub(crate) fn is_left(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_buffers_of_all_connections_stay_below_the_limit() {
        let mut held = 0;
        for _ in 0..FLOWS_MAX {
            let one = buffers(held);
            held += one.receive + one.send;
        }
        assert!(held <= 256 << 20, "{held}");
    }

    #[test]
    fn a_rate_gives_what_is_at_once_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 5, start);
        assert_eq!((0..9).filter(|_| rate.take(start)).count(), 5);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..9).filter(|_| rate.take(later)).count(), 2);
    }
}
