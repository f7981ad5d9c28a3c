//! Assembling the root, in the initramfs:
//!
//! ```text
//!  /lower    disk base, read-only          /newroot        overlay of both
//!  /system   disk system: upper, work      /newroot/root   disk work
//!            itself ─ moved ─────────────► /newroot/run/banger/system   (/run/banger: a tmpfs of our own)
//!            docker, containerd ─ bound ─► /var/lib/{docker,containerd}, in the new root
//! ```
//!
//! Docker's own overlays cannot have their upper layers on an overlay; therefore its directories lie beside ours.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use banger_guest::{Failure, RootPlan};
use rustix::mount::{mount_bind, mount_move};

use super::disks::{Disk, Disks};
use super::grow::grow;
use super::mounts::{furnish, mount_at};
use super::stages::Stages;
use crate::guest::failure;

/// Where the root is assembled.
pub const NEW_ROOT: &str = "/newroot";
/// Where the disk below the overlay is in the assembled root.
pub const SYSTEM_MOUNT: &str = "/run/banger/system";
const LOWER: &str = "/lower";
const SYSTEM: &str = "/system";

/// A disk that the guest writes: freed blocks go back to the host at once, and tables that were left unwritten when the
/// disk was made are not written in the background either, so that its file stays small.
const WRITABLE: &[&str] = &["noatime", "discard", "noinit_itable"];

/// Assembles everything below [`NEW_ROOT`].
///
/// # Errors
/// Names the disk or mount that failed.
pub fn assemble(plan: &RootPlan, stages: &mut Stages) -> Result<(), Failure> {
    let mut disks = Disks::default();
    let base = disks.find("base", &plan.base)?;
    let system = disks.find("system", &plan.system)?;
    let work = plan
        .work
        .as_ref()
        .map(|serial| disks.find("work", serial))
        .transpose()?;
    stages.done("find disks");

    let new_root = Path::new(NEW_ROOT);
    mount_disk(&base, Path::new(LOWER), &["ro", "noload"])?;
    mount_disk(&system, Path::new(SYSTEM), WRITABLE)?;
    stages.done("mount base and system");
    if plan.grow_system {
        grow(&system, Path::new(SYSTEM))?;
        stages.done("grow system");
    }
    mount_overlay(new_root)?;
    stages.done("mount overlay");

    if let Some(work) = &work {
        let place = new_root.join("root");
        mount_disk(work, &place, WRITABLE)?;
        stages.done("mount work");
        if plan.grow_work {
            grow(work, &place)?;
            stages.done("grow work");
        }
    }
    furnish(new_root)?;
    keep_system_reachable(new_root)?;
    stages.done("mount rest");
    Ok(())
}

fn mount_disk(disk: &Disk, place: &Path, options: &[&str]) -> Result<(), Failure> {
    mount_at(&disk.device, place, "ext4", options).map_err(|error| Failure {
        part: disk.part.clone(),
        ..error
    })
}

fn mount_overlay(new_root: &Path) -> Result<(), Failure> {
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
    mount_at(Path::new("overlay"), new_root, "overlay", &options)
}

/// Programs of an image that use that storage.
const CONTAINER_PROGRAMS: [&str; 4] = [
    "/usr/bin/dockerd",
    "/usr/bin/containerd",
    "/usr/local/bin/dockerd",
    "/usr/local/bin/containerd",
];

/// Could the image start a container at once? In the guest's own root.
pub fn runs_containers() -> bool {
    CONTAINER_PROGRAMS
        .iter()
        .any(|program| Path::new(program).exists())
}

/// Gives Docker and containerd their place beside the overlay. In the guest's own root.
///
/// # Errors
/// Names the mount that failed.
pub fn bind_container_storage() -> Result<(), Failure> {
    for name in ["docker", "containerd"] {
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
        make_private_dir(&source, 0o711)?;
        mount_bind(&source, &place).map_err(|error| {
            failure(
                format!("mount {}", place.display()),
                "bind",
                io::Error::from(error),
            )
        })?;
    }
    Ok(())
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
fn keep_system_reachable(new_root: &Path) -> Result<(), Failure> {
    let ours = ["nodev", "nosuid", "mode=0755"];
    mount_at(
        Path::new("tmpfs"),
        &new_root.join("run/banger"),
        "tmpfs",
        &ours,
    )?;
    let place = new_root.join(SYSTEM_MOUNT.trim_start_matches('/'));
    make_private_dir(&place, 0o700)?;
    mount_move(SYSTEM, &place).map_err(|error| {
        failure(
            format!("mount {}", place.display()),
            "move",
            io::Error::from(error),
        )
    })
}

/// Frees the memory of the initramfs: removes every file of the old root, on its own file system only.
pub fn empty_old_root(old_root: &impl std::os::fd::AsFd) {
    let Ok(stat) = rustix::fs::fstat(old_root) else {
        return;
    };
    remove_below(old_root, stat.st_dev);
}

fn remove_below(dir: &impl std::os::fd::AsFd, device: u64) {
    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
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
