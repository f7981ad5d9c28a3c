//! The modules of the running kernel, at `/lib/modules/<release>` of the guest's root:
//!
//! ```text
//!  disk modules, read-only, shared by all VMs of the kernel ─┐
//!  /system/<layer>/upper, the VM's own ──────────────────────┴─ overlay ─► /newroot/lib/modules/<release>
//! ```
//!
//! An overlay, because packages of kernels and drivers write there: dpkg, dkms, depmod. Its upper layer is no part of the
//! root's, so that a saved VM does not carry modules of a kernel that its copies need not boot.
//!
//! In an image without modprobe the agent is one ([`crate::modprobe`]): then the kernel finds what it asks for whatever
//! the image is.
//!
//! A guest that cannot have modules is a guest nevertheless: what stands against it is told on the console.

use std::path::Path;

use banger_guest::{Failure, ModulesPlan};

use super::disks::Disks;
use super::files::Place;
use super::mounts::{FileSystem, MountPoint};
use super::root::{SYSTEM, mount_disk};
use super::units::Units;
use crate::console::say;
use crate::failure::failure;
use crate::modprobe::HELPER;
use crate::program::IN_INITRAMFS;
use crate::report::stats::kernel_release;

/// Mount point of the disk in the initramfs, where it stays: like the base, it is reached through an overlay only.
const DISK: &str = "/modules-disk";
/// Names the program that the kernel starts to have a module loaded (proc(5)); `/proc` is in the new root by then.
const KERNEL_MODPROBE: &str = "/newroot/proc/sys/kernel/modprobe";
/// Places of the program that `kmod static-nodes` is, in an image that has it.
const KMOD: [&str; 2] = ["bin/kmod", "usr/bin/kmod"];
/// systemd's unit that makes device nodes of modules that are not loaded yet.
const STATIC_NODES: &str = "kmod-static-nodes.service";
/// The kernel's own choice for it.
const USUAL_MODPROBE: &str = "sbin/modprobe";

/// Mounts the modules in the root that is being assembled. An image without `/lib` is a program of its own, which loads
/// none.
pub fn mount(plan: &ModulesPlan, disks: &mut Disks, here: &Place, new_root: &Place) {
    let mounted = match new_root.has_directory("lib") {
        Ok(false) => return,
        Ok(true) => try_mount(plan, disks, here, new_root),
        Err(error) => Err(failure("/lib", "find", error)),
    };
    if let Err(error) = mounted {
        say(format_args!("this guest has no kernel modules: {error}"));
    }
}

fn try_mount(
    plan: &ModulesPlan,
    disks: &mut Disks,
    here: &Place,
    new_root: &Place,
) -> Result<(), Failure> {
    let layer = layer(&plan.layer)?;
    let disk = disks.find("modules", &plan.disk)?;
    mount_disk(&disk, here, DISK, &["ro", "noload", "nodev", "nosuid"])?;
    for name in ["upper", "work"] {
        let path = format!("{layer}/{name}");
        here.make_dirs(&path)
            .map_err(|error| failure(path, "make directory", error))?;
    }
    let release = kernel_release();
    let (lower, upper, work) = (
        format!("lowerdir={DISK}"),
        format!("upperdir={layer}/upper"),
        format!("workdir={layer}/work"),
    );
    let options = [
        "noatime",
        "nodev",
        "nosuid",
        "index=off",
        &lower,
        &upper,
        &work,
    ];
    MountPoint::find(new_root, &format!("lib/modules/{release}"))?
        .mount(&FileSystem::virtual_one("overlay", &options))
}

/// The layer's directory. Its name becomes part of a path and of the options of a mount.
fn layer(name: &str) -> Result<String, Failure> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(failure(
            "modules",
            "layer",
            format!("{name:?} is no name of a layer"),
        ));
    }
    Ok(format!("{SYSTEM}/{name}"))
}

/// Puts this program where the kernel can start it as modprobe, in a root without one.
pub fn offer_modprobe(new_root: &Place) {
    if new_root.leads_somewhere(USUAL_MODPROBE) {
        return;
    }
    let offered = new_root
        .write(HELPER.trim_start_matches('/'), b"", 0o755, (0, 0))
        .and_then(|()| {
            // Shown there, not copied: it is in memory already.
            let place = format!("{}{HELPER}", super::root::NEW_ROOT);
            rustix::mount::mount_bind(IN_INITRAMFS, place)?;
            std::fs::write(KERNEL_MODPROBE, HELPER)
        });
    if let Err(error) = offered {
        say(format_args!(
            "the kernel will load no modules by itself: {error}"
        ));
    }
}

/// Keeps systemd from starting kmod for the device nodes of modules in an image without kmod: its unit asks only for the
/// list of the nodes, and would fail.
///
/// # Errors
/// Names the unit.
pub fn tell_systemd(root: &Path) -> Result<(), Failure> {
    if KMOD.iter().any(|path| root.join(path).exists()) {
        return Ok(());
    }
    Units::of(root)
        .and_then(|units| units.mask(STATIC_NODES))
        .map_err(|error| failure(STATIC_NODES, "mask", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_that_needs_kmod_is_masked_where_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("run/systemd/system").join(STATIC_NODES);
        std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        std::fs::write(root.path().join("usr/bin/kmod"), "").unwrap();
        tell_systemd(root.path()).unwrap();
        assert!(!unit.is_symlink());
        std::fs::remove_file(root.path().join("usr/bin/kmod")).unwrap();
        tell_systemd(root.path()).unwrap();
        tell_systemd(root.path()).unwrap();
        assert!(unit.is_symlink());
    }

    #[test]
    fn a_layer_is_one_name_below_the_system_disk() {
        assert_eq!(layer("modules-0a1b").unwrap(), "/system/modules-0a1b");
        for odd in ["", ".", "..", "a/b", "a,b", "a:b", "a\\b", "a b"] {
            assert!(layer(odd).is_err(), "{odd:?}");
        }
    }
}
