//! Devices of a machine that is saved: let go before, taken again by each guest that wakes from it.
//!
//! A driver reads all of a device when it takes it: serial number, size, hardware address. So the disks and the network of a
//! guest that wakes may be any, as long as there are as many of each kind in the same places.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The virtio bus in sysfs (Documentation/ABI/testing/sysfs-bus-virtio).
const BUS: &str = "/sys/bus/virtio";
/// Drivers of disks and of network devices.
const DRIVERS: [&str; 2] = ["virtio_blk", "virtio_net"];
/// Numbers of network devices and of disks among virtio devices (virtio specification 1.2, 5), as sysfs writes them.
const NEEDED: [&str; 2] = ["0x0001", "0x0002"];

/// Takes every disk and network device from its driver.
///
/// # Errors
/// Names the device.
pub fn let_go() -> io::Result<()> {
    let bus = Path::new(BUS);
    for driver in DRIVERS {
        let driver = bus.join("drivers").join(driver);
        for name in devices_of(&driver) {
            fs::write(driver.join("unbind"), &name).map_err(|error| named(&name, error))?;
        }
        if let Some(kept) = devices_of(&driver).first() {
            return Err(named(kept, io::Error::other("its driver keeps it")));
        }
    }
    Ok(())
}

/// Gives every device without a driver to the one that knows it.
///
/// # Errors
/// Names the disk or network device that no driver took.
pub fn take_again() -> io::Result<()> {
    let bus = Path::new(BUS);
    for device in without_driver(bus)? {
        let name = device.file_name().unwrap_or_default().to_string_lossy();
        fs::write(bus.join("drivers_probe"), name.as_bytes())
            .map_err(|error| named(&name, error))?;
    }
    let is_needed = |device: &PathBuf| {
        let kind = fs::read_to_string(device.join("device")).unwrap_or_default();
        NEEDED.contains(&kind.trim())
    };
    match without_driver(bus)?.into_iter().find(is_needed) {
        None => Ok(()),
        Some(device) => {
            let name = device.file_name().unwrap_or_default().to_string_lossy();
            Err(named(&name, io::Error::other("no driver took it")))
        }
    }
}

/// Names of the devices that a driver has.
fn devices_of(driver: &Path) -> Vec<String> {
    let entries = fs::read_dir(driver).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_device(name)).collect()
}

fn without_driver(bus: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(bus.join("devices"))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|device| !device.join("driver").exists())
        .collect();
    found.sort();
    Ok(found)
}

/// Devices of the bus are named `virtio` and a number; a driver has other entries beside them.
fn is_device(name: &str) -> bool {
    let number = name.strip_prefix("virtio");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn named(device: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{device}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_of_a_driver_are_told_from_its_other_entries() {
        let driver = tempfile::tempdir().unwrap();
        for entry in [
            "bind", "module", "uevent", "virtio", "virtio2", "virtio10", "virtio_x",
        ] {
            fs::write(driver.path().join(entry), "").unwrap();
        }
        let mut found = devices_of(driver.path());
        found.sort();
        assert_eq!(found, ["virtio10", "virtio2"]);
        assert!(devices_of(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn devices_without_a_driver_are_those_without_that_link() {
        let bus = tempfile::tempdir().unwrap();
        for device in ["virtio0", "virtio1"] {
            fs::create_dir_all(bus.path().join("devices").join(device)).unwrap();
        }
        fs::create_dir(bus.path().join("devices/virtio0/driver")).unwrap();
        let found = without_driver(bus.path()).unwrap();
        assert_eq!(found, [bus.path().join("devices/virtio1")]);
    }
}
