//! Finding disks: the order in which the kernel numbers them says nothing, their serial numbers do.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_guest::Failure;

use crate::failure::failure;

/// Disks appear some time after their driver was loaded.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// A disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Its role in messages: `disk base`.
    pub part: String,
    /// Its node.
    pub device: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The disks that were there at the last look: names in `/dev`, and serial numbers.
#[derive(Debug, Default)]
pub struct Disks(Vec<(String, String)>);

impl Disks {
    /// Finds the disk with a serial number, waiting for it to appear.
    ///
    /// # Errors
    /// When it does not; names the serial numbers that are there.
    pub fn find(&mut self, role: &str, serial: &str) -> Result<Disk, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut looked = false;
        loop {
            if let Some((name, _)) = self.0.iter().find(|(_, found)| found == serial) {
                return Ok(disk(role, name));
            }
            if Instant::now() > deadline {
                let others: Vec<&String> = self.0.iter().map(|(_, serial)| serial).collect();
                let cause = format!("no disk has the serial number {serial:?}, only {others:?}");
                return Err(failure(
                    format!("disk {role}"),
                    "find by serial number",
                    cause,
                ));
            }
            if looked {
                std::thread::sleep(BETWEEN_LOOKS);
            }
            self.0 = serials();
            looked = true;
        }
    }
}

fn disk(role: &str, name: &str) -> Disk {
    let sectors = std::fs::read_to_string(Path::new("/sys/block").join(name).join("size"))
        .unwrap_or_default();
    Disk {
        part: format!("disk {role}"),
        device: Path::new("/dev").join(name),
        // Always in units of 512 bytes (Documentation/ABI/stable/sysfs-block).
        bytes: sectors.trim().parse::<u64>().unwrap_or(0) * 512,
    }
}

fn serials() -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let serial = std::fs::read_to_string(entry.path().join("serial")).ok()?;
            Some((
                entry.file_name().into_string().ok()?,
                serial.trim_end().to_owned(),
            ))
        })
        .collect()
}
