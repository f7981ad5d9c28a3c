//! Identity of this guest: randomness, name, machine id. Each is set, then checked.

use std::fs::File;
use std::io;
use std::path::Path;

use banger_guest::{Configure, Failure};

use super::files;
use crate::failure::failure;
use crate::sys;

/// Renews the kernel's randomness. Before anything else is made, for some of that is random.
///
/// # Errors
/// Names the part and the check.
pub fn renew_randomness(configure: &Configure) -> Result<(), Failure> {
    add_entropy(&configure.entropy.0)
}

/// Applies everything else.
///
/// # Errors
/// Names the part and the check.
pub fn apply(configure: &Configure, root: &Path) -> Result<(), Failure> {
    set_hostname(&configure.hostname)?;
    set_machine_id(&configure.machine_id, root)
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
    sys::add_entropy(&random, bytes).map_err(|error| failure("entropy", "add", error))?;
    // What was added is used only from the next reseeding on, which may be minutes away: until then guests that woke from
    // one saved machine have the same random numbers.
    sys::reseed_random(&random).map_err(|error| failure("entropy", "reseed", error))
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
