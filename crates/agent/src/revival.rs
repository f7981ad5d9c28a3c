//! The kernel as guard of the keeper, where the image's init is none that takes a unit of ours: what starts the agent again
//! when service and keeper are ended together.
//!
//! ```text
//! hierarchy "banger" of version 1, without a controller
//!   /          everybody
//!   /guard     the keeper alone ── it ends: the group is empty ──► the kernel starts `guard`, who is the keeper then
//! ```
//!
//! The kernel starts a hierarchy's `release_agent` whenever a group of it that wants so becomes empty (kernel doc
//! "cgroup-v1/cgroups.rst", 1.4). No file of the image's is changed for it, as an entry of init's own table would.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::mount::{MountFlags, mount, mount_bind};

use crate::program::ITSELF;

/// Mount point of the hierarchy.
const HIERARCHY: &str = "/run/banger/groups";
/// The keeper's group. The kernel gives its name, with a slash before it, to the program as its only argument.
const GROUP: &str = "guard";
/// [`GROUP`] as that argument.
pub const FREED: &str = "/guard";
/// This program with a name: a mount of its own, on which programs run whatever becomes of the options of `/run`.
const PROGRAM: &str = "/run/banger/guard-program";

/// Puts this process, the keeper, into the group whose end the kernel answers. May be called again, by the next keeper.
///
/// # Errors
/// The kernel has no version 1 of control groups, or something cannot be mounted.
pub fn arm() -> io::Result<()> {
    let group = Path::new(HIERARCHY).join(GROUP);
    if !group.exists() {
        offer_program()?;
        std::fs::create_dir_all(HIERARCHY)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let options = c"none,name=banger,release_agent=/run/banger/guard-program";
        mount(c"banger", HIERARCHY, c"cgroup", flags, Some(options))?;
        std::fs::create_dir(&group)?;
        std::fs::write(group.join("notify_on_release"), "1")?;
    }
    std::fs::write(group.join("cgroup.procs"), "0")
}

/// Takes this process, which the keeper has started, out of the keeper's group again.
pub fn leave() {
    let everybody = Path::new(HIERARCHY).join("cgroup.procs");
    if everybody.exists()
        && let Err(error) = std::fs::write(everybody, "0")
    {
        crate::console::say(format_args!(
            "the agent stays in the keeper's group: {error}"
        ));
    }
}

fn offer_program() -> io::Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(false).mode(0o755);
    options.open(PROGRAM)?;
    // Shown there, not copied: it is in memory already.
    Ok(mount_bind(ITSELF, PROGRAM)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_argument_is_the_path_of_the_group() {
        assert_eq!(FREED, format!("/{GROUP}"));
    }
}
