//! Mounting: options as mount(8) writes them, and the mounts that every guest gets.
//!
//! A mount point is found inside the guest's root, whatever is a link there, and made where it or a link's end is missing:
//! the root is entered (fchdir(2)) and `.` is mounted on, so that no path is resolved a second time elsewhere.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use banger_guest::{Failure, GuestMount};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};

use super::files::Place;
use crate::failure::failure;

/// A file system to mount.
#[derive(Debug, Clone, Copy)]
pub struct FileSystem<'a> {
    /// The device, or any word for file systems without one.
    pub source: &'a Path,
    /// Its kind, as `ext4`.
    pub kind: &'a str,
    /// As for mount(8).
    pub options: &'a [&'a str],
}

impl<'a> FileSystem<'a> {
    /// One without a device.
    #[must_use]
    pub fn virtual_one(kind: &'a str, options: &'a [&'a str]) -> Self {
        Self {
            source: Path::new(kind),
            kind,
            options,
        }
    }
}

/// A directory on which something is mounted, in a root.
#[derive(Debug)]
pub struct MountPoint {
    dir: OwnedFd,
    name: String,
}

impl MountPoint {
    /// The directory at `path` in `root`, made when it is missing.
    ///
    /// # Errors
    /// Names the place and the cause.
    pub fn find(root: &Place, path: &str) -> Result<Self, Failure> {
        let name = format!("/{}", path.trim_start_matches('/'));
        let dir = root
            .make_dirs(path)
            .map_err(|error| failure(format!("mount {name}"), "make the place", error))?;
        Ok(Self { dir, name })
    }

    /// The directory as it is below what will be mounted.
    #[must_use]
    pub fn below(&self) -> &OwnedFd {
        &self.dir
    }

    /// The directory itself.
    #[must_use]
    pub fn into_directory(self) -> OwnedFd {
        self.dir
    }

    /// Mounts a file system here.
    ///
    /// # Errors
    /// Names the place and the cause.
    pub fn mount(&self, what: &FileSystem<'_>) -> Result<(), Failure> {
        let (flags, rest) = split_options(what.options);
        let rest = CString::new(rest).map_err(|error| self.failed("read options", error))?;
        let check = format!("mount {} of {}", what.kind, what.source.display());
        self.within(check, || {
            mount(what.source, ".", what.kind, flags, Some(rest.as_c_str()))
        })
    }

    /// Moves a mount here.
    ///
    /// # Errors
    /// Names the place and the cause.
    pub fn take_over(&self, from: &Path) -> Result<(), Failure> {
        self.within("move", || mount_move(from, "."))
    }

    /// Shows another directory here as well.
    ///
    /// # Errors
    /// Names the place and the cause.
    pub fn bind(&self, from: &Path) -> Result<(), Failure> {
        self.within("bind", || mount_bind(from, "."))
    }

    /// Works in the directory. Nothing else in this process depends on where it is while a guest is configured.
    fn within(
        &self,
        check: impl std::fmt::Display,
        work: impl FnOnce() -> rustix::io::Result<()>,
    ) -> Result<(), Failure> {
        let worked = rustix::process::fchdir(&self.dir).and_then(|()| work());
        let left = rustix::process::chdir("/");
        worked
            .and(left)
            .map_err(|error| self.failed(check, io::Error::from(error)))
    }

    fn failed(&self, check: impl std::fmt::Display, cause: impl std::fmt::Display) -> Failure {
        failure(format!("mount {}", self.name), check.to_string(), cause)
    }
}

/// Mounts what the host asked for beyond the usual, in the guest's root.
///
/// # Errors
/// Names place and cause.
pub fn mount_extra(extra: &GuestMount) -> Result<(), Failure> {
    let options: Vec<&str> = extra.options.iter().map(String::as_str).collect();
    MountPoint::find(&open(Path::new("/"))?, extra.target.as_str())?.mount(&FileSystem {
        source: Path::new(&extra.source),
        kind: &extra.fstype,
        options: &options,
    })
}

/// A root, open.
///
/// # Errors
/// It is no directory.
pub fn open(root: &Path) -> Result<Place, Failure> {
    Place::open(root).map_err(|error| failure(root.display().to_string(), "open", error))
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

/// A tmpfs that everybody may write.
#[must_use]
pub fn shared() -> FileSystem<'static> {
    FileSystem::virtual_one("tmpfs", &["nodev", "nosuid", "mode=1777"])
}

/// Moves `/proc`, `/sys` and `/dev` of the initramfs into a new root, and mounts what every guest gets below them.
///
/// # Errors
/// Names place and cause.
pub fn furnish(root: &Place) -> Result<(), Failure> {
    for name in ["proc", "sys", "dev"] {
        MountPoint::find(root, name)?.take_over(&Path::new("/").join(name))?;
    }
    let terminals = ["nosuid", "noexec", "gid=5", "mode=0620", "ptmxmode=0666"];
    let strict = ["nodev", "nosuid", "noexec"];
    MountPoint::find(root, "dev/pts")?.mount(&FileSystem::virtual_one("devpts", &terminals))?;
    MountPoint::find(root, "dev/shm")?.mount(&shared())?;
    // A process that joins a group waits for all CPUs otherwise (`favordynmods`, since Linux 6.0): every command does.
    let quick = [&strict[..], &["favordynmods"]].concat();
    for (place, kind, options) in [
        ("dev/mqueue", "mqueue", &[&strict[..]][..]),
        ("sys/fs/cgroup", "cgroup2", &[&quick, &strict]),
    ] {
        // Kernels without message queues or control groups are none of ours to refuse.
        let _ = MountPoint::find(root, place).map(|place| {
            let mut choices = options.iter();
            choices.any(|options| place.mount(&FileSystem::virtual_one(kind, options)).is_ok())
        });
    }
    link_standard_streams(root)
}

/// Links that udev makes elsewhere, and shells rely on.
fn link_standard_streams(root: &Place) -> Result<(), Failure> {
    let part = || "/dev".to_owned();
    let dev = root
        .make_dirs("dev")
        .map_err(|error| failure(part(), "open", error))?;
    for (link, target) in [
        ("fd", ""),
        ("stdin", "/0"),
        ("stdout", "/1"),
        ("stderr", "/2"),
    ] {
        match rustix::fs::symlinkat(format!("/proc/self/fd{target}"), &dev, link) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(failure(
                    part(),
                    format!("make link {link}"),
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
