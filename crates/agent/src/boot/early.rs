//! The file systems that everything else needs, mounted by the service in the initramfs.

use std::io;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

/// Mounts `/proc`, `/sys` and `/dev`. One that is mounted already is fine.
///
/// # Errors
/// Names what could not be mounted.
pub fn mount_kernel_file_systems() -> io::Result<()> {
    let usual = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let wanted = [
        ("proc", "/proc", usual),
        ("sysfs", "/sys", usual),
        ("devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC),
    ];
    for (kind, place, flags) in wanted {
        match std::fs::create_dir(place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match mount(kind, place, kind, flags, None) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) => return Err(io::Error::other(format!("cannot mount {place}: {error}"))),
        }
    }
    Ok(())
}
