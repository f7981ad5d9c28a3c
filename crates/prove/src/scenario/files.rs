//! Images and kernels: pulls, and files that are made and removed.

use banger_ops::HostResult;

use super::{BARE, Scenario, base, created, manners, nothing, running};
use crate::daemon::Daemon;
use crate::process::Manners;

/// An image of the registry's `app` at the time of the pull.
fn pulled(daemon: &Daemon) -> HostResult<()> {
    daemon.pull("img", "first")?;
    daemon.import("krn", "linux")
}

/// The same, and a VM made from it.
fn pulled_and_used(daemon: &Daemon) -> HostResult<()> {
    pulled(daemon)?;
    daemon.create("a", &BARE).map(|_| ())
}

/// Pulls, and names that move to other images.
pub(super) fn pulls() -> Vec<Scenario> {
    vec![
        scenario!("pull", nothing, |c| c.pull("img", "first")),
        scenario!("pull-again", pulled_and_used, |c| c.pull("img", "first")),
        scenario!("pull-newer", pulled, |c| c.pull("img", "second")),
        scenario!("pull-newer-in-use", pulled_and_used, |c| c
            .pull("img", "second")),
        scenario!(
            "pull-newer-while-running",
            |c| {
                pulled_and_used(c)?;
                c.start_vm("a")
            },
            |c| c.pull("img", "second")
        ),
        scenario!(
            "pull-newer-and-back",
            |c| {
                pulled_and_used(c)?;
                c.pull("img", "second")?;
                c.create("b", &BARE).map(|_| ())
            },
            |c| c.pull("img", "first")
        ),
        scenario!(
            "pull-newer-that-has-a-name",
            |c| {
                pulled_and_used(c)?;
                c.pull("other", "second")
            },
            |c| c.pull("img", "second")
        ),
        scenario!("pull-newer-full-disk", pulled_and_used, |c| {
            c.machine.world().files.capacity = 12;
            c.pull("img", "second")
        }),
        scenario!("pull-newer-cancelled", pulled_and_used, |c| {
            c.cancel_what_comes(true);
            c.pull("img", "second")
        }),
        scenario!(
            "delete-last-vm-of-a-superseded-image",
            |c| {
                pulled_and_used(c)?;
                c.pull("img", "second")
            },
            |c| c.delete("a")
        ),
    ]
}

pub(super) fn files() -> Vec<Scenario> {
    vec![
        scenario!("build", nothing, |c| c.build("img", "debian", false)),
        scenario!("build-same-content", base, |c| c
            .build("other", "debian", false)),
        scenario!("build-taken-name", base, |c| c
            .build("img", "alpine", false)),
        scenario!("build-over-a-name", |c| created(c, BARE), |c| c
            .build("img", "alpine", true)),
        scenario!("build-full-disk", base, |c| {
            c.machine.world().files.capacity = 6;
            c.build("other", "alpine", false)
        }),
        scenario!("build-cancelled", base, |c| {
            c.cancel_what_comes(true);
            c.build("other", "alpine", false)
        }),
        scenario!("delete-image", base, |c| c.delete_image("img")),
        scenario!(
            "delete-one-name-of-an-image",
            |c| {
                base(c)?;
                c.build("other", "debian", false)
            },
            |c| c.delete_image("img")
        ),
        scenario!("delete-image-in-use", |c| created(c, BARE), |c| c
            .delete_image("img")),
        scenario!("rename-image", |c| created(c, BARE), |c| c
            .rename_image("img", "other")),
        scenario!(
            "rename-image-to-a-taken-name",
            |c| {
                base(c)?;
                c.build("other", "alpine", false)
            },
            |c| c.rename_image("img", "other")
        ),
        scenario!(
            "save",
            |c| {
                running(c, BARE)?;
                c.stop("a")
            },
            |c| c.save("a", "saved", false)
        ),
        scenario!("save-new", |c| created(c, BARE), |c| c
            .save("a", "saved", false)),
        scenario!("save-over-a-name", |c| created(c, BARE), |c| c
            .save("a", "img", true)),
        scenario!("save-to-a-taken-name", |c| created(c, BARE), |c| c
            .save("a", "img", false)),
        scenario!(
            "save-guest-never-up",
            |c| {
                created(c, BARE)?;
                manners(c, Manners::NeverUp);
                Ok(())
            },
            |c| c.save("a", "saved", false)
        ),
        scenario!("save-cancelled", |c| created(c, BARE), |c| {
            c.cancel_what_comes(true);
            c.save("a", "saved", false)
        }),
        scenario!("reseed-image", base, |c| c.reseed_image("img")),
        scenario!("reseed-image-in-use", |c| running(c, BARE), |c| c
            .reseed_image("img")),
        scenario!(
            "reseed-one-name-of-an-image",
            |c| {
                created(c, BARE)?;
                c.build("other", "debian", false)
            },
            |c| c.reseed_image("img")
        ),
        scenario!("import", nothing, |c| c.import("krn", "linux")),
        scenario!("import-same-content", base, |c| c.import("other", "linux")),
        scenario!("import-taken-name", base, |c| c.import("krn", "bsd")),
        scenario!("delete-kernel", base, |c| c.delete_kernel("krn")),
        scenario!(
            "delete-one-name-of-a-kernel",
            |c| {
                base(c)?;
                c.import("other", "linux")
            },
            |c| c.delete_kernel("krn")
        ),
    ]
}
