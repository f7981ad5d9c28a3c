//! The rows of this guest's identity, read back from where programs read it.

use std::fs;
use std::io;
use std::path::Path;

use banger_guest::{Configure, Failure, IdentityName, IdentityRow};
use rustix::rand::{GetRandomFlags, getrandom};

use super::shown_ids::MACHINE_UUID;
use super::{generation, net};
use crate::clock;
use crate::failure::failure;
use crate::report::stats::boot_id;

/// Random bytes that the host compares.
const RANDOM_BYTES: usize = 16;

/// Reads every row, in the guest's own root. `woke`: it was saved, and did not boot in this machine.
///
/// # Errors
/// Names the row that cannot be read.
pub fn of_this_guest(configure: &Configure, woke: bool) -> Result<Vec<IdentityRow>, Failure> {
    use IdentityName as Name;
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim_end().to_owned());
    let mut rows = vec![
        row(Name::Randomness, random_bytes())?,
        row(Name::Clock, Ok(clock::read().unix_ns.to_string()))?,
        row(Name::BootId, Ok(boot_id()))?,
        row(Name::Hostname, read("/proc/sys/kernel/hostname"))?,
        row(Name::MachineId, read("/etc/machine-id"))?,
        row(Name::Generation, read(generation::PATH))?,
    ];
    for interface in configure.net.iter().flat_map(|net| &net.interfaces) {
        let address = net::address_of(interface.mac);
        rows.push(row(Name::MacAddress, address)?);
    }
    if woke && Path::new(MACHINE_UUID).exists() {
        rows.push(row(Name::MachineUuid, read(MACHINE_UUID))?);
    }
    Ok(rows)
}

fn row(name: IdentityName, value: io::Result<String>) -> Result<IdentityRow, Failure> {
    match value {
        Ok(value) => Ok(IdentityRow { name, value }),
        Err(error) => Err(failure(name.to_string(), "read back", error)),
    }
}

fn random_bytes() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    // So few come at once and whole (getrandom(2)).
    getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_never_the_same() {
        let (one, other) = (random_bytes().unwrap(), random_bytes().unwrap());
        assert_eq!(one.len(), 2 * RANDOM_BYTES);
        assert_ne!(one, other);
    }
}
