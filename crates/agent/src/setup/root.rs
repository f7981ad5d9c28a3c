//! Assembling the root, in the initramfs:
//!
//! ```text
//!  /lower    disk base, read-only          /newroot        overlay of both
//!  /system   disk system: upper, work      /newroot/root   disk work
//!            itself ─ moved ─────────────► /newroot/run/banger/system   (/run/banger: a tmpfs of our own)
//!            docker, … ─ bound ──────────► /var/lib/{docker,containerd,containers}, in the new root
//!  /modules-disk  disk modules, read-only  /newroot/lib/modules/<release>   overlay of it and a directory of system
//! ```
//!
//! Docker's own overlays cannot have their upper layers on an overlay; therefore its directories lie beside ours.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use banger_guest::{Failure, RootPlan, TmpMode};
use rustix::fs::{AtFlags, Mode};

use super::disks::{Disk, Disks};
use super::files::Place;
use super::grow::grow;
use super::kernel_modules;
use super::mounts::{self, FileSystem, MountPoint, furnish};
use super::stages::Stages;
use super::temporary;
use crate::console::say;
use crate::failure::failure;

/// Directory in which the root is assembled.
pub const NEW_ROOT: &str = "/newroot";
/// Mount point of the disk below the overlay, in the assembled root.
pub const SYSTEM_MOUNT: &str = "/run/banger/system";
const LOWER: &str = "/lower";
pub(super) const SYSTEM: &str = "/system";

/// A disk that the guest writes: freed blocks go back to the host at once, and tables that were left unwritten when the
/// disk was made are not written in the background either, so that its file stays small.
const WRITABLE: &[&str] = &["noatime", "discard", "noinit_itable"];

/// Assembles everything below [`NEW_ROOT`].
///
/// # Errors
/// Names the disk or mount that failed.
pub fn assemble(plan: &RootPlan, tmp: TmpMode, stages: &mut Stages) -> Result<(), Failure> {
    let mut disks = Disks::default();
    let base = disks.find("base", &plan.base)?;
    let system = disks.find("system", &plan.system)?;
    let work = plan
        .work
        .as_ref()
        .map(|serial| disks.find("work", serial))
        .transpose()?;
    stages.done("find disks");

    let here = mounts::open(Path::new("/"))?;
    mount_disk(&base, &here, LOWER, &["ro", "noload"])?;
    let system_root = mount_disk(&system, &here, SYSTEM, WRITABLE)?;
    stages.done("mount base and system");
    if plan.grow_system {
        grow(&system, system_root)?;
        stages.done("grow system");
    }
    temporary::set_aside(Path::new(SYSTEM));
    mount_overlay(&here)?;
    let new_root = mounts::open(Path::new(NEW_ROOT))?;
    stages.done("mount overlay");

    if let Some(work) = &work {
        let work_root = mount_disk(work, &new_root, "root", WRITABLE)?;
        stages.done("mount work");
        if plan.grow_work {
            grow(work, work_root)?;
            stages.done("grow work");
        }
    }
    // Before the new root takes over `/dev`, through which disks are found here.
    if let Some(modules) = &plan.modules {
        kernel_modules::mount(modules, &mut disks, &here, &new_root);
        stages.done("mount modules");
    }
    furnish(&new_root)?;
    temporary::furnish(&new_root, tmp)?;
    keep_system_reachable(&new_root)?;
    if plan.modules.is_some() {
        kernel_modules::offer_modprobe(&new_root);
    }
    stages.done("mount rest");
    Ok(())
}

/// Mounts a disk, and opens its root.
pub(super) fn mount_disk(
    disk: &Disk,
    root: &Place,
    path: &str,
    options: &[&str],
) -> Result<OwnedFd, Failure> {
    let file_system = FileSystem {
        source: &disk.device,
        kind: "ext4",
        options,
    };
    let mounted = MountPoint::find(root, path)
        .and_then(|place| place.mount(&file_system))
        .and_then(|()| MountPoint::find(root, path));
    let mounted = mounted.map_err(|error| Failure {
        part: disk.part.clone(),
        ..error
    })?;
    Ok(mounted.into_directory())
}

fn mount_overlay(here: &Place) -> Result<(), Failure> {
    for name in ["upper", "work"] {
        make_private_dir(&Path::new(SYSTEM).join(name), 0o755)?;
    }
    let lower = format!("lowerdir={LOWER}");
    let (upper, work) = (
        format!("upperdir={SYSTEM}/upper"),
        format!("workdir={SYSTEM}/work"),
    );
    // Both layers are ours alone, so renaming a directory of the image may leave a pointer instead of being refused.
    let options = [
        "noatime",
        &lower,
        &upper,
        &work,
        "index=off",
        "redirect_dir=on",
        "metacopy=off",
    ];
    MountPoint::find(here, NEW_ROOT)?.mount(&FileSystem::virtual_one("overlay", &options))
}

/// Programs of an image that use that storage.
const CONTAINER_PROGRAMS: [&str; 7] = [
    "/usr/bin/dockerd",
    "/usr/sbin/dockerd",
    "/usr/bin/containerd",
    "/usr/bin/podman",
    "/usr/bin/buildah",
    "/usr/local/bin/dockerd",
    "/usr/local/bin/containerd",
];

/// Could the image start a container at once? In the guest's own root.
pub fn runs_containers() -> bool {
    CONTAINER_PROGRAMS
        .iter()
        .any(|program| Path::new(program).exists())
}

/// Names below `/var/lib` of the storage of Docker, of containerd, and of podman and buildah.
const CONTAINER_STORAGE: [&str; 3] = ["docker", "containerd", "containers"];

/// Gives Docker, containerd and podman their place beside the overlay. In the guest's own root. What the image itself has stored
/// there stays in sight: then its own place is used, for hiding it would lose it.
///
/// # Errors
/// Names the mount that failed.
pub fn bind_container_storage() -> Result<(), Failure> {
    let root = mounts::open(Path::new("/"))?;
    for name in CONTAINER_STORAGE {
        let place = Path::new("/var/lib").join(name);
        // Only where an image has the usual folders; a link there is the image's own arrangement.
        let is_dir =
            |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if !is_dir(Path::new("/var")) || !is_dir(Path::new("/var/lib")) {
            continue;
        }
        if !is_dir(&place) {
            if std::fs::symlink_metadata(&place).is_ok() {
                continue;
            }
            make_private_dir(&place, 0o711)?;
        }
        let source = Path::new(SYSTEM_MOUNT).join(name);
        if is_empty(&source) && !is_empty(&place) {
            say(format_args!(
                "{} holds what the image has stored there; it stays on the overlay",
                place.display()
            ));
            continue;
        }
        make_private_dir(&source, 0o711)?;
        MountPoint::find(&root, &format!("var/lib/{name}"))?.bind(&source)?;
    }
    Ok(())
}

/// Absent counts as empty.
fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

fn make_private_dir(path: &Path, mode: u32) -> Result<(), Failure> {
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failure(path.display().to_string(), "make directory", error))
        }
        _ => Ok(()),
    }
}

/// The disk below the overlay stays reachable, so that it can be grown, and made read-only before the power goes: by us,
/// and by inits that do so with every mount they see.
///
/// `/run/banger` is a mount of its own, because inits of the System V kind mount `/run` again with `noexec` and a tenth of
/// the memory (Debian's mountkernfs.sh).
fn keep_system_reachable(new_root: &Place) -> Result<(), Failure> {
    let ours = ["nodev", "nosuid", "mode=0755"];
    MountPoint::find(new_root, "run/banger")?.mount(&FileSystem::virtual_one("tmpfs", &ours))?;
    let place = MountPoint::find(new_root, SYSTEM_MOUNT)?;
    rustix::fs::chmodat(place.below(), ".", Mode::RWXU, AtFlags::empty())
        .map_err(|error| failure(SYSTEM_MOUNT, "close to others", io::Error::from(error)))?;
    place.take_over(Path::new(SYSTEM))
}

/// Frees the memory of the initramfs: removes every file of the old root, on its own file system only.
pub fn empty_old_root(old_root: &impl std::os::fd::AsFd) {
    let Ok(stat) = rustix::fs::fstat(old_root) else {
        return;
    };
    remove_below(old_root, stat.st_dev);
}

fn remove_below(dir: &impl std::os::fd::AsFd, device: u64) {
    use rustix::fs::{Dir, FileType, OFlags};
    let Ok(entries) = Dir::read_from(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        // A mount of the new root must survive.
        if stat.st_dev != device {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(inner) = rustix::fs::openat(dir, name, flags, Mode::empty()) {
                remove_below(&inner, device);
            }
            let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
        } else {
            let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
        }
    }
}
