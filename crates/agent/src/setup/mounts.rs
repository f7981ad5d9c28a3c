//! Mounting: options as mount(8) writes them, and the mounts that every guest gets.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use banger_guest::{Failure, GuestMount};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_move};

use crate::guest::failure;

/// Mounts, after making the place when it is missing.
///
/// # Errors
/// Names place and cause.
pub fn mount_at(source: &Path, place: &Path, kind: &str, options: &[&str]) -> Result<(), Failure> {
    let part = || format!("mount {}", place.display());
    std::fs::create_dir_all(place).map_err(|error| failure(part(), "make the place", error))?;
    let (flags, rest) = split_options(options);
    let rest = CString::new(rest).map_err(|error| failure(part(), "read options", error))?;
    mount(source, place, kind, flags, Some(rest.as_c_str())).map_err(|error| {
        failure(
            part(),
            format!("mount {kind} of {}", source.display()),
            io::Error::from(error),
        )
    })
}

/// Mounts what the host asked for beyond the usual, in the guest's root.
///
/// # Errors
/// Names place and cause.
pub fn mount_extra(extra: &GuestMount) -> Result<(), Failure> {
    let options: Vec<&str> = extra.options.iter().map(String::as_str).collect();
    mount_at(
        Path::new(&extra.source),
        Path::new(extra.target.as_str()),
        &extra.fstype,
        &options,
    )
}

/// Flags of mount(2), and what is left for the file system.
fn split_options(options: &[&str]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut rest = Vec::new();
    for option in options {
        flags |= match *option {
            "defaults" | "rw" => MountFlags::empty(),
            "ro" => MountFlags::RDONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "relatime" => MountFlags::RELATIME,
            "sync" => MountFlags::SYNCHRONOUS,
            other => {
                rest.push(other);
                continue;
            }
        };
    }
    (flags, rest.join(","))
}

/// Moves `/proc`, `/sys` and `/dev` of the initramfs into a new root, and mounts the rest that every guest gets.
///
/// # Errors
/// Names place and cause.
pub fn furnish(root: &Path) -> Result<(), Failure> {
    for name in ["proc", "sys", "dev"] {
        let place = root.join(name);
        let part = || format!("mount {}", place.display());
        std::fs::create_dir_all(&place)
            .map_err(|error| failure(part(), "make the place", error))?;
        mount_move(Path::new("/").join(name), &place)
            .map_err(|error| failure(part(), "move", io::Error::from(error)))?;
    }
    let wanted: [(&str, &str, &str, &[&str]); 6] = [
        ("run", "tmpfs", "tmpfs", &["nodev", "nosuid", "mode=0755"]),
        ("tmp", "tmpfs", "tmpfs", &["nodev", "nosuid", "mode=1777"]),
        (
            "dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "gid=5", "mode=0620", "ptmxmode=0666"],
        ),
        (
            "dev/shm",
            "tmpfs",
            "tmpfs",
            &["nodev", "nosuid", "mode=1777"],
        ),
        (
            "dev/mqueue",
            "mqueue",
            "mqueue",
            &["nodev", "nosuid", "noexec"],
        ),
        (
            "sys/fs/cgroup",
            "cgroup2",
            "cgroup2",
            &["nodev", "nosuid", "noexec"],
        ),
    ];
    for (place, source, kind, options) in wanted {
        match mount_at(Path::new(source), &root.join(place), kind, options) {
            // Kernels without message queues or control groups are none of ours to refuse.
            Err(_) if matches!(kind, "mqueue" | "cgroup2") => {}
            other => other?,
        }
    }
    // What udev makes elsewhere, and shells rely on.
    for (link, target) in [
        ("fd", ""),
        ("stdin", "/0"),
        ("stdout", "/1"),
        ("stderr", "/2"),
    ] {
        let place: PathBuf = root.join("dev").join(link);
        match rustix::fs::symlink(format!("/proc/self/fd{target}"), &place) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(failure(
                    place.display().to_string(),
                    "make link",
                    io::Error::from(error),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_between_kernel_and_file_system() {
        let (flags, rest) = split_options(&["defaults", "ro", "nodev", "mode=0755", "size=1g"]);
        assert_eq!(flags, MountFlags::RDONLY | MountFlags::NODEV);
        assert_eq!(rest, "mode=0755,size=1g");
    }
}
