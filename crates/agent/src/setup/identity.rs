//! Identity of this guest: name, machine id, clock, randomness. Each is set, then checked.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use banger_guest::{Configure, Failure};
use rustix::fs::Timespec;
use rustix::time::ClockId;

use super::files;
use crate::failure::failure;
use crate::sys;

/// Between setting the clock and reading it back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Applies everything.
///
/// # Errors
/// Names the part and the check.
pub fn apply(configure: &Configure, root: &Path) -> Result<(), Failure> {
    add_entropy(&configure.entropy.0)?;
    set_hostname(&configure.hostname)?;
    set_machine_id(&configure.machine_id, root)
}

/// Sets the clock, and reads it back.
///
/// # Errors
/// It cannot be set, or is not what was set.
pub fn set_clock(unix_ns: u64) -> Result<(), Failure> {
    let second = 1_000_000_000;
    let fail = |check: &str, cause: &dyn std::fmt::Display| failure("clock", check, cause);
    let time = Timespec {
        tv_sec: i64::try_from(unix_ns / second).map_err(|error| fail("read", &error))?,
        tv_nsec: i64::try_from(unix_ns % second).map_err(|error| fail("read", &error))?,
    };
    rustix::time::clock_settime(ClockId::Realtime, time).map_err(|error| fail("set", &error))?;
    let wanted = UNIX_EPOCH + Duration::from_nanos(unix_ns);
    let off = SystemTime::now()
        .duration_since(wanted)
        .map_err(|error| fail("read back", &error))?;
    if off > CLOCK_TOLERANCE {
        return Err(fail(
            "read back",
            &format_args!("it is {} s ahead", off.as_secs()),
        ));
    }
    Ok(())
}

fn add_entropy(bytes: &[u8]) -> Result<(), Failure> {
    if !(32..=sys::MAX_ENTROPY).contains(&bytes.len()) {
        return Err(failure(
            "entropy",
            "has 32 to 512 bytes",
            format_args!("it has {}", bytes.len()),
        ));
    }
    let random =
        File::open("/dev/random").map_err(|error| failure("entropy", "open /dev/random", error))?;
    sys::add_entropy(&random, bytes).map_err(|error| failure("entropy", "add", error))
}

fn set_hostname(name: &str) -> Result<(), Failure> {
    rustix::system::sethostname(name.as_bytes())
        .map_err(|error| failure("hostname", "set", io::Error::from(error)))?;
    let read = rustix::system::uname();
    if read.nodename().to_bytes() != name.as_bytes() {
        return Err(failure(
            "hostname",
            "read back",
            format_args!("it is {:?}", read.nodename()),
        ));
    }
    Ok(())
}

fn set_machine_id(id: &str, root: &Path) -> Result<(), Failure> {
    let part = "machine id";
    if id.len() != 32
        || !id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(failure(
            part,
            "has 32 hexadecimal digits",
            format_args!("it is {id:?}"),
        ));
    }
    let path = "etc/machine-id";
    let content = format!("{id}\n");
    if std::fs::read_to_string(root.join(path)).is_ok_and(|now| now == content) {
        return Ok(());
    }
    let place = files::Place::open(root).map_err(|error| failure(part, "open root", error))?;
    place
        .write(path, content.as_bytes(), 0o444, (0, 0))
        .map_err(|error| failure(part, "write", error))
}
