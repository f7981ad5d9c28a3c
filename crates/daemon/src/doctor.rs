//! `doctor`: what banger needs from this host, and what it found.

use std::path::Path;

use banger_api::doctor::{Check, Report, Verdict};
use banger_api::kernel::Kernel;
use banger_control::system;
use banger_engine::Accel;

use crate::context::Daemon;

/// Free space below which a new VM is likely to fail, in bytes.
const SPACE_LOW: u64 = 2 << 30;

fn check(name: &str, verdict: Verdict, finding: impl Into<String>, advice: Option<&str>) -> Check {
    Check {
        name: name.to_owned(),
        verdict,
        finding: finding.into(),
        advice: advice.map(str::to_owned),
    }
}

/// All checks, in a fixed order.
pub(crate) fn doctor(daemon: &Daemon) -> Report {
    Report {
        checks: vec![
            engine(daemon),
            accel(daemon),
            state(daemon.paths.state()),
            space(daemon.paths.state()),
            leftovers(daemon),
            reflink(daemon.paths.state()),
            seeds(daemon),
            kernel_modules(daemon),
            program(
                "mmdebstrap",
                "images are built with it",
                "install package mmdebstrap; or bring images with banger image register",
            ),
            program(
                "apt-get",
                "the default kernel is fetched with it",
                "import a kernel of your own: banger kernel import --help",
            ),
        ],
    }
}

fn engine(daemon: &Daemon) -> Check {
    match &daemon.probe.available {
        Ok(path) => {
            let version = daemon
                .probe
                .version
                .as_deref()
                .unwrap_or("of unknown version");
            check(
                "engine",
                Verdict::Pass,
                format!("{} {version} at {}", daemon.probe.kind, path.display()),
                None,
            )
        }
        Err(reason) => check(
            "engine",
            Verdict::Fail,
            reason.clone(),
            Some("install package qemu-system-x86"),
        ),
    }
}

fn accel(daemon: &Daemon) -> Check {
    let reason = daemon.probe.accel_reason.clone();
    match daemon.probe.accel {
        Accel::Kvm => check("acceleration", Verdict::Pass, reason, None),
        Accel::Tcg => check(
            "acceleration",
            Verdict::Warn,
            reason,
            Some(
                "everything works, several times slower; on a machine with KVM: add yourself to the group of /dev/kvm",
            ),
        ),
    }
}

fn state(dir: &Path) -> Check {
    match tempfile_in(dir) {
        Ok(()) => check(
            "state",
            Verdict::Pass,
            format!("{} can be written", dir.display()),
            None,
        ),
        Err(error) => check(
            "state",
            Verdict::Fail,
            format!("{} cannot be written: {error}", dir.display()),
            Some("give it to this user, or set BANGER_HOME to another directory"),
        ),
    }
}

/// Makes a file without a name: nothing to remove afterwards, whatever happens.
fn tempfile_in(dir: &Path) -> std::io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(
        dir,
        OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
        Mode::RUSR,
    )?;
    Ok(())
}

fn space(dir: &Path) -> Check {
    let Ok(fs) = rustix::fs::statvfs(dir) else {
        return check("space", Verdict::Warn, "cannot tell how much is free", None);
    };
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    let finding = format!("{} free at {}", banger_api::ByteSize(free), dir.display());
    match free >= SPACE_LOW {
        true => check("space", Verdict::Pass, finding, None),
        false => check(
            "space",
            Verdict::Warn,
            finding,
            Some("remove what is not needed: banger vm prune, banger image list"),
        ),
    }
}

/// Whether something is there that nothing claims.
fn leftovers(daemon: &Daemon) -> Check {
    match system::resources(&daemon.control) {
        Err(error) => check(
            "leftovers",
            Verdict::Warn,
            format!("cannot tell: {}", error.message),
            None,
        ),
        Ok(all) => match all
            .resources
            .iter()
            .filter(|resource| resource.claimed_by.is_none())
            .count()
        {
            0 => check(
                "leftovers",
                Verdict::Pass,
                "everything that banger made is claimed",
                None,
            ),
            n => check(
                "leftovers",
                Verdict::Warn,
                format!("{n} things that nothing claims"),
                Some(
                    "look at them with banger system sweep --dry-run, remove them with banger system sweep",
                ),
            ),
        },
    }
}

/// Images whose VMs start with an empty `/root`.
fn seeds(daemon: &Daemon) -> Check {
    let images = match daemon.read(banger_store::image::list) {
        Ok(images) => images,
        Err(error) => {
            let finding = format!("cannot tell: {}", error.message);
            return check("work seeds", Verdict::Warn, finding, None);
        }
    };
    let without = images.iter().filter(|image| image.seed_bytes.is_none());
    let names: Vec<&str> = without.map(|image| image.name.as_str()).collect();
    match names.is_empty() {
        true => check("work seeds", Verdict::Pass, "every image has one", None),
        false => check(
            "work seeds",
            Verdict::Pass,
            format!("VMs of {} start with an empty /root", names.join(", ")),
            Some(
                "give an image a work seed: banger image reseed IMAGE --from root, or a directory",
            ),
        ),
    }
}

/// Check that guests have the modules of their kernels: kernels imported by earlier builds came without.
fn kernel_modules(daemon: &Daemon) -> Check {
    const NAME: &str = "kernel modules";
    let kernels = match banger_control::kernel::kernels(&daemon.control) {
        Ok(kernels) => kernels,
        Err(error) => {
            let finding = format!("cannot tell: {}", error.message);
            return check(NAME, Verdict::Warn, finding, None);
        }
    };
    let is_without =
        |kernel: &&Kernel| kernel.guest_modules.is_none() && !kernel.modules.is_empty();
    let names: Vec<&str> = kernels
        .iter()
        .filter(is_without)
        .map(|kernel| kernel.name.as_str())
        .collect();
    match names.is_empty() {
        true => check(NAME, Verdict::Pass, "every kernel brings its own", None),
        false => check(
            NAME,
            Verdict::Warn,
            format!(
                "{} came without: Docker, FUSE, WireGuard and the like do not start in their VMs",
                names.join(", ")
            ),
            Some(
                "import the kernel again under another name, and make VMs with it: banger kernel import --help",
            ),
        ),
    }
}

/// Whether work seeds are cloned by reference or copied.
fn reflink(dir: &Path) -> Check {
    use rustix::fs::{Mode, OFlags, ioctl_ficlone, open};
    let unnamed = || {
        open(
            dir,
            OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
            Mode::RUSR,
        )
    };
    let works = unnamed()
        .and_then(|a| unnamed().and_then(|b| ioctl_ficlone(&b, &a)))
        .is_ok();
    match works {
        true => check(
            "clones",
            Verdict::Pass,
            "disks are cloned by reference (FICLONE)",
            None,
        ),
        false => check(
            "clones",
            Verdict::Pass,
            "disks are cloned by extents: this file system has no FICLONE",
            None,
        ),
    }
}

fn program(name: &str, what_for: &str, advice: &str) -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    match found {
        Some(path) => check(name, Verdict::Pass, path.display().to_string(), None),
        None => check(
            name,
            Verdict::Warn,
            format!("not found; {what_for}"),
            Some(advice),
        ),
    }
}
