//! Checks that only the daemon can make: those of its store.

use banger_api::doctor::Check;
use banger_api::kernel::Kernel;
use banger_control::{kernel, system};

use crate::context::Daemon;

pub(super) fn checks(daemon: &Daemon) -> Vec<Check> {
    vec![leftovers(daemon), seeds(daemon), kernel_modules(daemon)]
}

/// Things that nothing claims.
fn leftovers(daemon: &Daemon) -> Check {
    let name = "leftovers";
    let all = match system::resources(&daemon.control) {
        Ok(all) => all.resources,
        Err(error) => {
            let cause = format!("cannot tell: {}", error.message);
            return Check::warn(name, cause, "look with banger system status");
        }
    };
    let unclaimed = all.iter().filter(|one| one.claimed_by.is_none()).count();
    match unclaimed {
        0 => Check::ok(name, "everything that banger made is claimed"),
        n => Check::warn(
            name,
            format!("{n} things that nothing claims"),
            "look at them with banger system sweep --dry-run, remove them with banger system sweep",
        ),
    }
}

/// Images whose VMs start with an empty `/root`.
fn seeds(daemon: &Daemon) -> Check {
    let name = "work seeds";
    let images = match daemon.read(banger_store::image::list) {
        Ok(images) => images,
        Err(error) => {
            let cause = format!("cannot tell: {}", error.message);
            return Check::warn(name, cause, "look with banger image list");
        }
    };
    let without = images.iter().filter(|image| image.seed_bytes.is_none());
    let names: Vec<&str> = without.map(|image| image.name.as_str()).collect();
    match names.is_empty() {
        true => Check::ok(name, "every image has one"),
        false => Check {
            fix: Some(
                "give an image a work seed: banger image reseed IMAGE --from root, or a directory"
                    .to_owned(),
            ),
            ..Check::ok(
                name,
                format!("VMs of {} start with an empty /root", names.join(", ")),
            )
        },
    }
}

/// Checks that guests have the modules of their kernels: kernels imported by earlier builds came without.
fn kernel_modules(daemon: &Daemon) -> Check {
    let name = "kernel modules";
    let kernels = match kernel::kernels(&daemon.control) {
        Ok(kernels) => kernels,
        Err(error) => {
            let cause = format!("cannot tell: {}", error.message);
            return Check::warn(name, cause, "look with banger kernel list");
        }
    };
    let is_without =
        |kernel: &&Kernel| kernel.guest_modules.is_none() && !kernel.modules.is_empty();
    let without = kernels.iter().filter(is_without);
    let names: Vec<&str> = without.map(|kernel| kernel.name.as_str()).collect();
    match names.is_empty() {
        true => Check::ok(name, "every kernel brings its own"),
        false => Check::warn(
            name,
            format!(
                "{} came without: Docker, FUSE, WireGuard and the like do not start in their VMs",
                names.join(", ")
            ),
            "import the kernel again under another name, and make VMs with it: banger kernel import --help",
        ),
    }
}
