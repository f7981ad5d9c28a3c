//! The ways out of a guest: `halt` of systemd powers off, and images without an init have `reboot` and its like.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use banger_guest::Failure;

use super::units::Units;
use crate::console::say;
use crate::failure::failure;
use crate::power::NAMES;
use crate::program::ITSELF;

/// This program, with a name.
const PROGRAM: &str = "run/banger/agent";
/// Folder of the names.
const FOLDER: &str = "sbin";
/// Folders where an image has its own.
const FOLDERS: [&str; 6] = [
    "sbin",
    "bin",
    "usr/sbin",
    "usr/bin",
    "usr/local/sbin",
    "usr/local/bin",
];
/// Folders of systemd's own units.
const UNITS: [&str; 2] = ["usr/lib/systemd/system", "lib/systemd/system"];

/// Lets systemd's `halt` power off, before it starts: a halted VM would keep its memory and answer nobody.
///
/// # Errors
/// The link cannot be made.
pub fn tell_systemd(root: &Path) -> Result<(), Failure> {
    let target = UNITS
        .into_iter()
        .map(|folder| format!("/{folder}/poweroff.target"))
        .find(|path| root.join(&path[1..]).exists());
    let Some(target) = target else { return Ok(()) };
    Units::of(root)
        .and_then(|units| units.alias("halt.target", &target))
        .map_err(|error| failure("unit halt.target", "link", error))
}

/// Puts the names where the image has none. What cannot be put is missed by whoever calls it, who is told on the console.
pub fn offer(root: &Path) {
    let wanted = NAMES.into_iter().filter(|name| !has(root, name));
    let wanted: Vec<&str> = wanted.collect();
    if wanted.is_empty() {
        return;
    }
    let offered = show_program(&root.join(PROGRAM)).and_then(|()| link(root, &wanted));
    if let Err(error) = offered {
        say(format_args!(
            "this guest has no commands to end itself: {error}"
        ));
    }
}

/// Takes the names away again: a copy of the root is made, for guests that may not be ours.
///
/// # Errors
/// A name cannot be removed.
pub fn withdraw(root: &Path) -> io::Result<()> {
    let program = Path::new("/").join(PROGRAM);
    for name in NAMES {
        let path = root.join(FOLDER).join(name);
        if std::fs::read_link(&path).is_ok_and(|target| target == program) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// True when the image has a program, or a link, of this name.
fn has(root: &Path, name: &str) -> bool {
    let ours = Path::new("/").join(PROGRAM);
    FOLDERS.into_iter().any(|folder| {
        let path = root.join(folder).join(name);
        match std::fs::read_link(&path) {
            // Ours of an earlier start counts for nothing.
            Ok(target) => target != ours,
            Err(_) => path.exists(),
        }
    })
}

/// Shows this program at a path: it is in memory already, and need not be copied.
fn show_program(at: &Path) -> io::Result<()> {
    if at.exists() {
        return Ok(());
    }
    if let Some(folder) = at.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(at, "")?;
    Ok(rustix::mount::mount_bind(ITSELF, at)?)
}

fn link(root: &Path, names: &[&str]) -> io::Result<()> {
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    for name in names {
        match symlink(Path::new("/").join(PROGRAM), folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["usr/sbin", "usr/bin", "run/banger"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        symlink("usr/sbin", root.path().join("sbin")).unwrap();
        // It need not be shown where it is: the tests may not mount.
        std::fs::write(root.path().join(PROGRAM), "").unwrap();
        root
    }

    fn target(root: &Path, name: &str) -> Option<String> {
        let target = std::fs::read_link(root.join("sbin").join(name)).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    #[test]
    fn an_image_without_the_names_gets_them_at_each_start_and_loses_them_in_a_copy() {
        let root = root();
        for _ in 0..2 {
            offer(root.path());
            for name in NAMES {
                assert_eq!(
                    target(root.path(), name).as_deref(),
                    Some("/run/banger/agent")
                );
            }
        }
        withdraw(root.path()).unwrap();
        for name in NAMES {
            assert_eq!(target(root.path(), name), None);
        }
        withdraw(root.path()).unwrap();
    }

    #[test]
    fn a_name_of_the_image_is_left_wherever_it_is_and_whatever_it_points_to() {
        let root = root();
        symlink("../bin/busybox", root.path().join("usr/sbin/reboot")).unwrap();
        std::fs::write(root.path().join("usr/bin/halt"), "its own").unwrap();
        offer(root.path());
        assert_eq!(
            target(root.path(), "reboot").as_deref(),
            Some("../bin/busybox")
        );
        assert_eq!(target(root.path(), "halt"), None);
        assert!(target(root.path(), "poweroff").is_some());
        withdraw(root.path()).unwrap();
        assert!(target(root.path(), "reboot").is_some());
    }

    #[test]
    fn systemds_halt_is_its_poweroff() {
        let root = root();
        tell_systemd(root.path()).unwrap();
        let alias = root.path().join("run/systemd/system/halt.target");
        assert!(
            std::fs::read_link(&alias).is_err(),
            "without systemd's units"
        );
        let units = root.path().join("lib/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        std::fs::write(units.join("poweroff.target"), "").unwrap();
        for _ in 0..2 {
            tell_systemd(root.path()).unwrap();
            let target = std::fs::read_link(&alias).unwrap();
            assert_eq!(target, Path::new("/lib/systemd/system/poweroff.target"));
        }
    }
}
