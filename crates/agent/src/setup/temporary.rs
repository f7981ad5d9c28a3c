//! Places for what does not last: `/run` in memory, `/tmp` on the VM's own disk, where a build has room.
//!
//! ```text
//!  start    what was put into /tmp is set aside   upper/tmp ─► discarded-…   removed when the guest is up
//!           /run, and /tmp when the host says so  tmpfs, with what the image carries there
//!  init     is kept from emptying them again: commands may have written there before it came to that
//! ```

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use banger_guest::{Failure, TmpMode};

use super::copy_up::copy_up;
use super::files::Place;
use super::mounts::{FileSystem, MountPoint, shared};
use super::units::Units;
use crate::console::say;
use crate::failure::failure;

/// The start of the names of what was set aside, on the disk below the overlay.
const DISCARDED: &str = "discarded-";
/// Names that are tried before giving up on setting aside.
const NAMES: u32 = 1_000;

/// Takes what commands have put into `/tmp` out of the overlay's upper layer, which is not mounted yet: what the image has
/// there is in sight again. A rename, whatever there is to remove.
pub fn set_aside(system: &Path) {
    let tmp = system.join("upper/tmp");
    if std::fs::symlink_metadata(&tmp).is_err() {
        return;
    }
    let free = (0..NAMES)
        .map(|number| system.join(format!("{DISCARDED}{number}")))
        .find(|path| std::fs::symlink_metadata(path).is_err());
    let moved = free.map_or_else(
        || Err(io::Error::other("there is too much to remove already")),
        |free| std::fs::rename(&tmp, free),
    );
    if let Err(error) = moved {
        say(format_args!("/tmp keeps what was in it: {error}"));
    }
}

/// Removes what was set aside, in the guest's own root.
pub fn discard(system: &Path) {
    let Ok(entries) = std::fs::read_dir(system) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(DISCARDED) {
            let path = entry.path();
            let removed = match path.is_dir() && !path.is_symlink() {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            if let Err(error) = removed {
                say(format_args!("cannot remove what was in /tmp: {error}"));
            }
        }
    }
}

/// Makes `/run` and `/tmp` of a new root.
///
/// # Errors
/// Names the place and the cause.
pub fn furnish(root: &Place, tmp: TmpMode) -> Result<(), Failure> {
    let run = ["nodev", "nosuid", "mode=0755"];
    in_memory(root, "run", &FileSystem::virtual_one("tmpfs", &run))?;
    match tmp {
        TmpMode::Memory => in_memory(root, "tmp", &shared()),
        TmpMode::Disk => root
            .directory("tmp", 0o1777, (0, 0))
            .map_err(|error| failure("/tmp", "make", error)),
    }
}

/// Mounts a file system of memory, and copies into it what the image has there.
fn in_memory(root: &Place, path: &str, what: &FileSystem<'_>) -> Result<(), Failure> {
    let place = MountPoint::find(root, path)?;
    place.mount(what)?;
    let mounted = MountPoint::find(root, path)?;
    let copied = copy_up(place.below(), mounted.below())
        .map_err(|error| failure(format!("/{path}"), "copy what the image has there", error))?;
    if copied.cut {
        say(format_args!(
            "/{path} has not all that the image carries there: it is too much"
        ));
    }
    Ok(())
}

/// Rules for systemd-tmpfiles(8) that hide those of the image by their names (tmpfiles.d(5), "CONFIGURATION DIRECTORIES"):
/// at a boot Debian's remove everything in `/tmp`, one or two seconds after the first command may have started.
const RULES: [(&str, &str); 2] = [
    (
        "tmp.conf",
        "# Made by banger: /tmp was emptied before the first command, and is not emptied under it.\n\
         q /tmp 1777 root root 10d\n\
         q /var/tmp 1777 root root 30d\n\
         x /tmp/systemd-private-%b-*\n\
         X /tmp/systemd-private-%b-*/tmp\n\
         x /var/tmp/systemd-private-%b-*\n\
         X /var/tmp/systemd-private-%b-*/tmp\n",
    ),
    (
        "x11.conf",
        "# Made by banger: see tmp.conf.\n\
         q /tmp/.X11-unix 1777 root root 10d\n\
         q /tmp/.ICE-unix 1777 root root 10d\n\
         q /tmp/.XIM-unix 1777 root root 10d\n\
         q /tmp/.font-unix 1777 root root 10d\n",
    ),
];

/// Keeps systemd from emptying `/tmp`, and from mounting its own over it (tmp.mount, on by default in newer ones), in the
/// guest's own root before it starts. What an administrator has in `/etc` still wins.
///
/// # Errors
/// Names what cannot be written.
pub fn tell_systemd(root: &Path, tmp: TmpMode) -> Result<(), Failure> {
    let failed =
        |check: &'static str| move |error: io::Error| failure("/run for systemd", check, error);
    let rules = root.join("run/tmpfiles.d");
    let made = DirBuilder::new().recursive(true).mode(0o755).create(&rules);
    made.map_err(failed("make a folder"))?;
    for (name, content) in RULES {
        std::fs::write(rules.join(name), content).map_err(failed("write rules"))?;
    }
    if tmp == TmpMode::Disk {
        Units::of(root)
            .and_then(|units| units.mask("tmp.mount"))
            .map_err(failed("mask tmp.mount"))?;
    }
    Ok(())
}

/// Tells Debian's scripts of System V's init that `/tmp` was cleaned (`/lib/init/bootclean.sh`: a file `.clean` says so).
pub fn tell_others(root: &Path) {
    if root.join("lib/init/bootclean.sh").exists() {
        for place in ["tmp", "run"] {
            let _ = std::fs::File::create(root.join(place).join(".clean"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_tmp_is_set_aside_in_one_move_and_removed_later() {
        let system = tempfile::tempdir().unwrap();
        let at = |path: &str| system.path().join(path);
        for round in ["first", "second"] {
            std::fs::create_dir_all(at("upper/tmp/deep")).unwrap();
            std::fs::write(at("upper/tmp/deep").join(round), "x").unwrap();
            set_aside(system.path());
            assert!(!at("upper/tmp").exists());
        }
        assert!(at("discarded-0/deep/first").exists() && at("discarded-1/deep/second").exists());
        discard(system.path());
        assert!(!at("discarded-0").exists() && at("upper").exists());
    }

    #[test]
    fn systemd_is_kept_from_emptying_and_hiding_tmp() {
        let root = tempfile::tempdir().unwrap();
        tell_systemd(root.path(), TmpMode::Memory).unwrap();
        let at = |path: &str| root.path().join(path);
        let rules = std::fs::read_to_string(at("run/tmpfiles.d/tmp.conf")).unwrap();
        assert!(
            rules.lines().all(|line| !line.starts_with(['D', 'R', 'r'])),
            "{rules}"
        );
        assert!(!at("run/systemd/system/tmp.mount").is_symlink());
        tell_systemd(root.path(), TmpMode::Disk).unwrap();
        tell_systemd(root.path(), TmpMode::Disk).unwrap();
        assert!(at("run/systemd/system/tmp.mount").is_symlink());
    }
}
