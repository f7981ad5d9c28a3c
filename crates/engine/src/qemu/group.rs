//! The control group of a VMM. It lies outside of the VM's folder, whose file names it: it goes when the folder goes, which
//! plans see to whatever happens.
//!
//! ```text
//! file in the folder ─► group ─► VMM            made in this order
//! VMM ends ─► group ─► folder with the file     removed in this one
//! ```
//!
//! The VMM may write into its folder. So the file is believed only when it names a group of this very folder's.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use banger_jail::{Delegation, Group, GroupLimits};

use super::command_line::TCG_CODE_MIB;
use super::files;
use crate::{Accel, EngineError, VmmSpec};

/// Memory of a VMM beside that of its guest, MiB: its own, its threads' stacks, tables of the kernel for it, and pages of
/// its disks that wait to be written. Measured are 60 to 90.
const OWN_MIB: u64 = 512;
/// CPUs beside the guest's: disks, network and monitor.
const OWN_CPUS: u32 = 1;
/// Threads beside the guest's CPUs: QEMU's pool for disk requests has up to 64 for each disk that waits.
const OWN_TASKS: u32 = 256;
/// Longest path in the file, bytes (`PATH_MAX`).
const PATH_MAX_BYTES: u64 = 4096;

fn limits(spec: &VmmSpec) -> GroupLimits {
    let translated = match spec.accel {
        Accel::Tcg => u64::from(TCG_CODE_MIB),
        Accel::Kvm => 0,
    };
    GroupLimits {
        memory_max_bytes: (u64::from(spec.memory_mib) + translated + OWN_MIB) << 20,
        cpus_max: spec.vcpu + OWN_CPUS,
        tasks_max: spec.vcpu + OWN_TASKS,
    }
}

/// Name of the group of a launch in `dir`.
fn name(dir: &Path) -> Option<String> {
    Some(format!("vm-{}", dir.file_name()?.to_str()?))
}

/// Makes the group of a launch, with the limits of its machine.
///
/// # Errors
/// The folder cannot be written, or [`banger_jail::JailError`] of the layer.
pub(super) fn make(spec: &VmmSpec, groups: &Delegation) -> Result<Group, EngineError> {
    let invalid = || EngineError::Invalid {
        field: "dir",
        value: spec.dir.display().to_string(),
        reason: "has no name for a control group".to_owned(),
    };
    let group = groups.group(&name(&spec.dir).ok_or_else(invalid)?);
    let file = spec.dir.join(files::GROUP);
    fs::write(&file, group.path().as_os_str().as_bytes())
        .map_err(EngineError::io(format!("write {}", file.display())))?;
    group.make(&limits(spec))?;
    Ok(group)
}

/// Removes the group of the launch in `dir`, when it has one. Its VMM has ended.
///
/// # Errors
/// Something lives in it that does not end.
pub(super) fn remove(dir: &Path) -> Result<(), EngineError> {
    let file = dir.join(files::GROUP);
    let Some(group) = named(&file).filter(|path| is_of(path, dir)) else {
        return unless_absent(fs::remove_file(&file))
            .map_err(EngineError::io(format!("remove {}", file.display())));
    };
    let failed = || EngineError::io(format!("remove the control group {}", group.display()));
    Group::at(group.clone()).remove().map_err(failed())?;
    unless_absent(fs::remove_file(&file)).map_err(failed())
}

/// Tells whether the kernel ended the VMM of a launch in `dir` because it wanted more memory than its group allows.
pub(super) fn was_too_small(dir: &Path) -> bool {
    let group = named(&dir.join(files::GROUP)).filter(|path| is_of(path, dir));
    group.is_some_and(|path| Group::at(path).ended_for_memory() > 0)
}

/// The path in the file; `None` without one, and for what is none.
fn named(file: &Path) -> Option<PathBuf> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // A pipe or a link in its place is the VMM's doing.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(file)
        .ok()?;
    let mut text = Vec::new();
    opened.take(PATH_MAX_BYTES).read_to_end(&mut text).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(&text)))
}

fn is_of(group: &Path, dir: &Path) -> bool {
    let has_its_name = name(dir).is_some_and(|name| group.file_name() == Some(OsStr::new(&name)));
    group.is_absolute() && has_its_name && is_in_cgroupfs(group)
}

/// Tells whether its parent lies in a file system of control groups; the group itself may not be there.
fn is_in_cgroupfs(group: &Path) -> bool {
    /// statfs(2), `CGROUP2_SUPER_MAGIC`.
    const CGROUP2: i64 = 0x6367_7270;
    let parent = group.parent().map(rustix::fs::statfs);
    parent.is_some_and(|found| found.is_ok_and(|found| found.f_type == CGROUP2))
}

fn unless_absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_of_the_folders_own_name_in_the_file_system_of_groups_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("one");
        let elsewhere = folder.path().join("vm-one");
        for path in [&dir, &elsewhere] {
            fs::create_dir(path).unwrap();
        }
        // Without a file there is nothing to do.
        remove(&dir).unwrap();
        // A directory of another file system, a group of another VM's, no path at all: nothing is removed but the file.
        for text in [
            elsewhere.to_str().unwrap(),
            "/sys/fs/cgroup/vm-two",
            "vm-one",
            "",
            "\0",
        ] {
            fs::write(dir.join(files::GROUP), text).unwrap();
            remove(&dir).unwrap();
            assert!(
                elsewhere.exists() && !dir.join(files::GROUP).exists(),
                "{text:?}"
            );
        }
        std::os::unix::fs::symlink("/dev/zero", dir.join(files::GROUP)).unwrap();
        remove(&dir).unwrap();
        assert!(Path::new("/dev/zero").exists() && !dir.join(files::GROUP).is_symlink());
    }

    #[test]
    fn a_group_has_room_for_the_guest_and_what_the_vmm_needs_beside_it() {
        let mut spec = crate::qemu::command_line::tests::spec(Accel::Kvm);
        (spec.memory_mib, spec.vcpu) = (1024, 2);
        let kvm = limits(&spec);
        assert_eq!(kvm.memory_max_bytes, (1024 + OWN_MIB) << 20);
        assert_eq!((kvm.cpus_max, kvm.tasks_max), (3, 258));
        spec.accel = Accel::Tcg;
        assert_eq!(
            limits(&spec).memory_max_bytes - kvm.memory_max_bytes,
            512 << 20
        );
    }
}
