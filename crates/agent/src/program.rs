//! The program itself: its name, its file, and the words that start it.

use std::io;

/// Name of the service in the list of processes; for the '@' see [`crate::init`].
pub const NAME: &str = "@banger-agent";
/// This very program, wherever it came from and whether its file has still a name (proc(5)): nothing that the guest's init
/// does to its mounts keeps it from being started again.
pub const ITSELF: &str = "/proc/self/exe";
/// The same in the initramfs, before `/proc` is mounted.
pub const IN_INITRAMFS: &str = "/init";
/// First start, in the initramfs.
pub const FRESH: &str = "fresh";
/// Start after a death, in an assembled root.
pub const AGAIN: &str = "again";

/// Names this process: started through [`ITSELF`], it would be listed as "exe".
pub(crate) fn name_ourselves() -> io::Result<()> {
    Ok(rustix::thread::set_name(c"banger-agent")?)
}
