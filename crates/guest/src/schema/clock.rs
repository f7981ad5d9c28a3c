//! Clock of a guest: read by the host, and set by a pair of moments.
//!
//! The host measures with half the round trip; the guest is told "when your monotonic clock stood at M, it was T". Such a pair
//! stays true however long its way takes, and whoever moves the clock meanwhile.

use serde::{Deserialize, Serialize};

/// Answer to [`super::Request::ReadClock`]: both clocks of the guest at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Nanoseconds since 1970 UTC.
    pub unix_ns: u64,
    /// Nanoseconds on the clock that nobody sets (`CLOCK_MONOTONIC`, clock_gettime(2)).
    pub monotonic_ns: u64,
}

/// Time of the host at a moment of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetClock {
    /// The moment, as in [`ClockReading::monotonic_ns`].
    pub monotonic_ns: u64,
    /// The host's time then, in nanoseconds since 1970 UTC.
    pub unix_ns: u64,
}

/// Answer to [`super::Request::SetClock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSet {
    /// Offset of the guest's clock before the change, in nanoseconds: positive when it was ahead of the host's.
    pub offset_ns: i64,
    /// The change.
    pub change: ClockChange,
}

/// Change of a guest's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockChange {
    /// It shows the host's time from now on.
    Stepped,
    /// It runs faster or slower until it shows the host's time.
    Slewed,
    /// None: a program in the guest keeps its clock, and it is not far off.
    Left,
}
