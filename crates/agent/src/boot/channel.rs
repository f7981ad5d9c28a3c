//! Finds the virtio-serial port that leads to the host, by its name (Documentation/ABI/testing/sysfs-class-virtio-ports).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use banger_guest::limits::CHANNEL_NAME;

const CLASS: &str = "/sys/class/virtio-ports";
/// The port appears some time after its driver was loaded.
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Opens the port, waiting for it to appear. A port can be open once only: while another process of ours has it, this
/// waits too.
///
/// # Errors
/// When no such port appears in time, or it cannot be opened.
pub fn open() -> io::Result<OwnedFd> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match find() {
            Some(device) => match open_device(&device) {
                Ok(port) => return Ok(port),
                Err(error) => error,
            },
            None => io::Error::new(
                io::ErrorKind::NotFound,
                format!("no virtio-serial port is named {CHANNEL_NAME}"),
            ),
        };
        if Instant::now() > deadline {
            return Err(error);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn open_device(device: &PathBuf) -> io::Result<OwnedFd> {
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY)
        .bits()
        .cast_signed();
    Ok(OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(device)?
        .into())
}

fn find() -> Option<PathBuf> {
    for port in std::fs::read_dir(CLASS).ok()?.flatten() {
        let name = std::fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if name.trim_end() == CHANNEL_NAME {
            return Some(PathBuf::from("/dev").join(port.file_name()));
        }
    }
    None
}
