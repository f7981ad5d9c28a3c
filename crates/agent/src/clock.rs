//! The guest's clock follows the host's.
//!
//! ```text
//!  offset         nothing runs, or the clock is late    ahead, while commands run
//!  first setting  stepped                               stepped
//!  < 0.5 s        slewed                                slewed
//!  < 10 s         stepped                               slewed: files of a build must not become younger than their sources
//!  more           stepped                               stepped
//! ```
//!
//! A slewed clock runs faster or slower by 1 %. A program in the guest that keeps the clock itself (chrony, ntpd: the kernel
//! says so) is disturbed only by offsets of half a second and more, which a pause makes and it would take hours to mend.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use banger_guest::{ClockChange, ClockReading, ClockSet, Failure, SetClock};
use rustix::fs::Timespec;
use rustix::time::{ClockId, clock_gettime, clock_settime};

use crate::cgroup;
use crate::console::say;
use crate::failure::failure;
use crate::sys;

const SECOND_NS: i128 = 1_000_000_000;
/// Offset from which a clock is stepped.
const STEP: Duration = Duration::from_millis(500);
/// Offset from which it is stepped backwards even below running commands.
const STEP_BACK: Duration = Duration::from_secs(10);
/// Length of a tick in microseconds, as long as nobody changes the clock's pace (adjtimex(2)).
const TICK_US: i64 = 10_000;
/// Change of a tick while a clock is slewed: 1 %.
const SLEW_US: i64 = 100;
/// Between setting the clock and reading it back.
const TOLERANCE: Duration = Duration::from_secs(5);

/// Changes of the clock so far. Held while it is changed.
static CHANGES: Mutex<Changes> = Mutex::new(Changes { count: 0 });

struct Changes {
    /// Raised by each change: a slewing that is not the newest change does not end it.
    count: u64,
}

/// Gives the clock its usual pace again after a service that has died, maybe in the middle of a slewing.
pub fn end_old_slewing() {
    let ended = sys::clock_pace().and_then(|pace| match pace.kept || pace.tick_us == TICK_US {
        true => Ok(()),
        false => sys::set_tick(TICK_US),
    });
    if let Err(error) = ended {
        say(format_args!("the clock may keep a wrong pace: {error}"));
    }
}

/// Reads both clocks.
#[must_use]
pub fn read() -> ClockReading {
    let (unix, monotonic) = (now(ClockId::Realtime), now(ClockId::Monotonic));
    ClockReading {
        unix_ns: u64::try_from(unix).unwrap_or(0),
        monotonic_ns: u64::try_from(monotonic).unwrap_or(0),
    }
}

/// Sets the clock to a time that may be old by the way of the message, unless it has been set more exactly.
///
/// # Errors
/// It cannot be set, or is not what was set.
pub fn set_first(unix_ns: u64) -> Result<(), Failure> {
    let changes = lock();
    if changes.count > 0 {
        return Ok(());
    }
    step_to(i128::from(unix_ns)).map_err(|error| failure("clock", "set", error))?;
    let off = now(ClockId::Realtime) - i128::from(unix_ns);
    if off.unsigned_abs() > TOLERANCE.as_nanos() {
        let off = off as f64 / SECOND_NS as f64;
        return Err(failure(
            "clock",
            "read back",
            format_args!("it is {off:+.1} s off"),
        ));
    }
    Ok(())
}

/// Brings the clock to the host's time.
///
/// # Errors
/// The kernel refuses.
pub fn set(to: SetClock) -> Result<ClockSet, Failure> {
    let fail = |error: io::Error| failure("clock", "set", error);
    let mut changes = lock();
    let kept = sys::clock_pace().map_err(fail)?.kept;
    end_old_slewing();
    let since = now(ClockId::Monotonic) - i128::from(to.monotonic_ns);
    let wanted = i128::from(to.unix_ns) + since;
    let offset = now(ClockId::Realtime) - wanted;
    let situation = Situation {
        first: changes.count == 0,
        busy: cgroup::commands_run(),
        kept,
    };
    let change = choose(offset, situation);
    match change {
        ClockChange::Left => {}
        ClockChange::Stepped => step_to(wanted).map_err(fail)?,
        ClockChange::Slewed => slew(offset, changes.count + 1).map_err(fail)?,
    }
    if change != ClockChange::Left {
        changes.count += 1;
    }
    let limit = if offset < 0 { i64::MIN } else { i64::MAX };
    Ok(ClockSet {
        offset_ns: i64::try_from(offset).unwrap_or(limit),
        change,
    })
}

/// Circumstances of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Situation {
    /// The clock was not set before by this service.
    first: bool,
    /// Commands of the host run.
    busy: bool,
    /// A program in the guest keeps the clock.
    kept: bool,
}

/// Change for an offset in nanoseconds, positive when the guest's clock is ahead.
fn choose(offset_ns: i128, situation: Situation) -> ClockChange {
    let off = offset_ns.unsigned_abs();
    if off < STEP.as_nanos() {
        return match situation {
            Situation { kept: true, .. } => ClockChange::Left,
            Situation {
                first: true,
                busy: false,
                ..
            } => ClockChange::Stepped,
            _ => ClockChange::Slewed,
        };
    }
    let spared = offset_ns > 0 && situation.busy && !situation.kept;
    if spared && off < STEP_BACK.as_nanos() {
        ClockChange::Slewed
    } else {
        ClockChange::Stepped
    }
}

fn step_to(unix_ns: i128) -> io::Result<()> {
    let seconds = i64::try_from(unix_ns.div_euclid(SECOND_NS)).map_err(io::Error::other)?;
    let nanoseconds = i64::try_from(unix_ns.rem_euclid(SECOND_NS)).map_err(io::Error::other)?;
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Ok(clock_settime(ClockId::Realtime, time)?)
}

/// Changes the clock's pace until the offset is gone.
fn slew(offset_ns: i128, change: u64) -> io::Result<()> {
    let slower = offset_ns > 0;
    let by = if slower { -SLEW_US } else { SLEW_US };
    sys::set_tick(TICK_US + by)?;
    let sleeping = slewing_time(offset_ns);
    std::thread::Builder::new()
        .name("clock".to_owned())
        .spawn(move || {
            std::thread::sleep(sleeping);
            let changes = lock();
            if changes.count == change
                && let Err(error) = sys::set_tick(TICK_US)
            {
                say(format_args!("the clock keeps a wrong pace: {error}"));
            }
        })?;
    Ok(())
}

/// Time of a slewing, on the monotonic clock, whose pace is the slewed one too.
fn slewing_time(offset_ns: i128) -> Duration {
    let ticks = offset_ns / i128::from(SLEW_US);
    let pace = if offset_ns > 0 {
        TICK_US - SLEW_US
    } else {
        TICK_US + SLEW_US
    };
    let ns = ticks.unsigned_abs() * pace.unsigned_abs() as u128;
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

fn now(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * SECOND_NS + i128::from(time.tv_nsec)
}

fn lock() -> MutexGuard<'static, Changes> {
    // One number, whole at every moment.
    CHANGES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i128 = 1_000_000;
    const IDLE: Situation = Situation {
        first: false,
        busy: false,
        kept: false,
    };
    const BUSY: Situation = Situation { busy: true, ..IDLE };
    const KEPT: Situation = Situation { kept: true, ..IDLE };

    #[test]
    fn a_little_is_slewed_and_much_is_stepped() {
        for offset in [-499 * MS, -2 * MS, 2 * MS, 499 * MS] {
            assert_eq!(choose(offset, IDLE), ClockChange::Slewed, "{offset}");
            assert_eq!(choose(offset, BUSY), ClockChange::Slewed, "{offset}");
        }
        for offset in [-3_600_000 * MS, -500 * MS, 500 * MS, 3_600_000 * MS] {
            assert_eq!(choose(offset, IDLE), ClockChange::Stepped, "{offset}");
        }
    }

    #[test]
    fn a_clock_below_running_commands_goes_back_only_when_it_must() {
        assert_eq!(choose(9_999 * MS, BUSY), ClockChange::Slewed);
        assert_eq!(choose(10_000 * MS, BUSY), ClockChange::Stepped);
        assert_eq!(choose(-9_999 * MS, BUSY), ClockChange::Stepped, "forwards");
    }

    #[test]
    fn the_first_setting_waits_for_nothing() {
        let first = Situation {
            first: true,
            ..IDLE
        };
        assert_eq!(choose(2 * MS, first), ClockChange::Stepped);
        let busy = Situation {
            first: true,
            ..BUSY
        };
        assert_eq!(choose(2 * MS, busy), ClockChange::Slewed);
    }

    #[test]
    fn a_clock_that_the_guest_keeps_is_changed_only_when_it_is_far_off() {
        assert_eq!(choose(499 * MS, KEPT), ClockChange::Left);
        let busy = Situation { busy: true, ..KEPT };
        assert_eq!(choose(500 * MS, busy), ClockChange::Stepped);
    }

    #[test]
    fn a_slewing_ends_when_the_offset_is_gone() {
        for offset in [-400 * MS, 400 * MS] {
            let slewed = slewing_time(offset).as_nanos();
            let pace = if offset > 0 { 99 } else { 101 };
            // The time that passes outside, and what the clock gains or loses in it.
            let outside = slewed * 100 / pace;
            assert_eq!(outside / 100, offset.unsigned_abs());
        }
    }
}
