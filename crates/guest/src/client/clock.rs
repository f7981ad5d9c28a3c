//! Clock of a guest, from the host's side: measured by round trips, brought to the host's time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Client, ClientError};
use crate::schema::{ClockReading, ClockSet, SetClock};

/// Readings of one measurement. The one with the shortest way tells most.
const READINGS: u32 = 4;
/// A way so short that no better reading is looked for.
const SHORT: Duration = Duration::from_millis(2);
/// Offset that is left alone however well it is known: every file system's times are coarser (a tick of the kernel).
const NOISE: Duration = Duration::from_millis(1);

/// Offset of a guest's clock from the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Nanoseconds; positive when the guest's clock is ahead.
    pub offset_ns: i64,
    /// Largest error of the offset in nanoseconds: half of the round trip.
    pub error_ns: u64,
    /// The host's time at the moment of the guest that was read.
    moment: SetClock,
}

impl ClockOffset {
    /// Offset by one reading, which was asked for at `asked` (nanoseconds since 1970 UTC) and took `round_trip`.
    /// The guest's numbers may be any.
    fn of(reading: ClockReading, asked_unix_ns: u64, round_trip: Duration) -> Self {
        let error_ns = u64::try_from(round_trip.as_nanos() / 2).unwrap_or(u64::MAX);
        let host_ns = asked_unix_ns.saturating_add(error_ns);
        let offset = i128::from(reading.unix_ns) - i128::from(host_ns);
        let limit = if offset < 0 { i64::MIN } else { i64::MAX };
        Self {
            offset_ns: i64::try_from(offset).unwrap_or(limit),
            error_ns,
            moment: SetClock {
                monotonic_ns: reading.monotonic_ns,
                unix_ns: host_ns,
            },
        }
    }

    /// Tells whether the clock is off for certain, and by more than matters.
    #[must_use]
    pub fn matters(&self) -> bool {
        let certain = self.offset_ns.unsigned_abs().saturating_sub(self.error_ns);
        u128::from(certain) > NOISE.as_nanos()
    }
}

impl Client {
    /// Offset of the guest's clock from this host's.
    ///
    /// # Errors
    /// See [`ClientError`]. [`ClientError::Failed`] when the agent is too old to read its clock.
    pub async fn clock_offset(&self) -> Result<ClockOffset, ClientError> {
        let mut best = self.one_reading().await?;
        for _ in 1..READINGS {
            if u128::from(best.error_ns) * 2 <= SHORT.as_nanos() {
                break;
            }
            let next = self.one_reading().await?;
            if next.error_ns < best.error_ns {
                best = next;
            }
        }
        Ok(best)
    }

    /// Brings the guest's clock to this host's time when it is off: slowly when little is missing, by a step otherwise.
    /// Returns the offset, and the change if there was one.
    ///
    /// # Errors
    /// As [`Client::clock_offset`]; the guest cannot set its clock.
    pub async fn keep_time(&self) -> Result<(ClockOffset, Option<ClockSet>), ClientError> {
        let offset = self.clock_offset().await?;
        if !offset.matters() {
            return Ok((offset, None));
        }
        let set = self.set_clock(offset.moment).await?;
        Ok((offset, Some(set)))
    }

    async fn one_reading(&self) -> Result<ClockOffset, ClientError> {
        let (asked, began) = (SystemTime::now(), Instant::now());
        let reading = self.read_clock().await?;
        let since = asked.duration_since(UNIX_EPOCH).unwrap_or_default();
        let asked_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Ok(ClockOffset::of(reading, asked_ns, began.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn offset(unix_ns: u64, asked: u64, round_trip_ms: u64) -> ClockOffset {
        let reading = ClockReading {
            unix_ns,
            monotonic_ns: 5,
        };
        ClockOffset::of(reading, asked, Duration::from_millis(round_trip_ms))
    }

    #[test]
    fn half_of_the_round_trip_is_the_way_there_and_the_largest_error() {
        let seen = offset(100 * SECOND + 30_000_000, 100 * SECOND, 20);
        assert_eq!((seen.offset_ns, seen.error_ns), (20_000_000, 10_000_000));
        assert_eq!(seen.moment.monotonic_ns, 5);
        assert_eq!(seen.moment.unix_ns, 100 * SECOND + 10_000_000);
        assert!(seen.matters());
    }

    #[test]
    fn an_offset_that_the_way_may_have_made_is_none() {
        assert!(!offset(100 * SECOND, 100 * SECOND, 20).matters());
        assert!(!offset(100 * SECOND + 1_000_000, 100 * SECOND, 0).matters());
        assert!(offset(100 * SECOND + 1_000_001, 100 * SECOND, 0).matters());
    }

    #[test]
    fn any_numbers_of_a_guest_give_an_offset() {
        assert_eq!(offset(u64::MAX, 0, 0).offset_ns, i64::MAX);
        assert_eq!(offset(0, u64::MAX, 1).offset_ns, i64::MIN);
    }
}
