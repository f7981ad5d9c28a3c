//! The kernel's id of this boot, which all guests share that woke from one saved machine. The kernel never changes it; so a file
//! with another one lies over its own, as container engines do it (systemd-nspawn(1)). Whatever reads the id, as journald does to
//! tell boots apart, reads that.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use rustix::mount::mount_bind;

/// The kernel's file (random(4)).
const KERNELS: &str = "/proc/sys/kernel/random/boot_id";
/// A new id each time that it is read (random(4)).
const FRESH: &str = "/proc/sys/kernel/random/uuid";
const OURS: &str = "/run/banger/boot_id";

/// Gives this guest an id of its own. In its own root, after its randomness was renewed.
///
/// # Errors
/// The file cannot be written or shown, or is not what is read then.
pub fn renew() -> io::Result<()> {
    let fresh = fs::read_to_string(FRESH)?;
    fs::write(OURS, &fresh)?;
    fs::set_permissions(OURS, fs::Permissions::from_mode(0o444))?;
    mount_bind(OURS, KERNELS)?;
    match fs::read_to_string(KERNELS)? == fresh {
        true => Ok(()),
        false => Err(io::Error::other("the kernel shows another one")),
    }
}
