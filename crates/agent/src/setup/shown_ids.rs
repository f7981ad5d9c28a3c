//! Ids that the kernel and the firmware tell, and that all guests share which woke from one saved machine. Neither ever changes
//! its own; so a file with another one lies over it, as container engines do it (systemd-nspawn(1)). Whatever reads an id there,
//! as journald does to tell boots apart, and clusters to tell machines apart, reads that.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::mount::mount_bind;

/// The kernel's id of this boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// A new id each time that it is read (random(4)).
const FRESH: &str = "/proc/sys/kernel/random/uuid";
/// UUID of the machine, which root alone reads (Documentation/ABI/testing/sysfs-firmware-dmi-tables). Not every machine has one.
pub(super) const MACHINE_UUID: &str = "/sys/devices/virtual/dmi/id/product_uuid";
/// Place of the files, in the guest's own root.
const FOLDER: &str = "/run/banger";

/// Gives this guest a boot id of its own, and tells it the UUID of its present machine. In its own root, after its randomness was
/// renewed.
///
/// # Errors
/// A file cannot be written or shown, or is not what is read then.
pub fn renew(machine_uuid: &str) -> io::Result<()> {
    cover(BOOT_ID, "boot_id", &fs::read_to_string(FRESH)?, 0o444)?;
    match Path::new(MACHINE_UUID).exists() {
        true => cover(
            MACHINE_UUID,
            "product_uuid",
            &format!("{machine_uuid}\n"),
            0o400,
        ),
        false => Ok(()),
    }
}

fn cover(what: &str, name: &str, content: &str, mode: u32) -> io::Result<()> {
    let ours = Path::new(FOLDER).join(name);
    fs::write(&ours, content)?;
    fs::set_permissions(&ours, fs::Permissions::from_mode(mode))?;
    mount_bind(&ours, what)?;
    match fs::read_to_string(what)? == content {
        true => Ok(()),
        false => Err(io::Error::other(format!("{what} shows another one"))),
    }
}
