//! VMs whose memory is saved, templates, and kernels of their own roots.

use banger_api::ExitCause;
use banger_ops::HostResult;

use super::{
    BARE, OWN, OWN_KERNEL, PUBLISHED, RUN, Scenario, base, created, manners, nothing, other_kernel,
    running, vmms_end,
};
use crate::daemon::Daemon;
use crate::process::Manners;
use crate::requests::From;

/// A template, and the stopped VM after whose start it was made.
fn templated(daemon: &Daemon) -> HostResult<()> {
    running(daemon, BARE)?;
    daemon.stop("a")?;
    daemon.make_templates()
}

/// A suspended VM.
fn asleep(daemon: &Daemon) -> HostResult<()> {
    running(daemon, PUBLISHED)?;
    daemon.suspend("a")
}

pub(super) fn suspended() -> Vec<Scenario> {
    vec![
        scenario!("suspend", |c| running(c, PUBLISHED), |c| c.suspend("a")),
        scenario!("suspend-on-own-network", |c| running(c, OWN), |c| c
            .suspend("a")),
        scenario!("suspend-full-disk", |c| running(c, BARE), |c| {
            let used = c.machine.world().files.used();
            c.machine.world().files.capacity = used;
            c.suspend("a")
        }),
        scenario!("pause-and-resume", |c| running(c, BARE), |c| c
            .pause_and_resume("a")),
        scenario!("go-on", asleep, |c| c.start_vm("a")),
        scenario!(
            "go-on-never",
            |c| {
                manners(c, Manners::NeverWakes);
                asleep(c)
            },
            |c| c.start_vm("a")
        ),
        scenario!("kill-suspended", asleep, |c| c.kill("a", 9)),
        scenario!("delete-suspended", asleep, |c| c.delete("a")),
        scenario!("restart-while-suspended", asleep, nothing),
    ]
}

pub(super) fn templates() -> Vec<Scenario> {
    vec![
        scenario!("make-template", |c| created(c, PUBLISHED), |c| {
            c.start_vm("a")?;
            c.make_templates()
        }),
        scenario!("make-template-full-disk", |c| created(c, BARE), |c| {
            c.start_vm("a")?;
            let used = c.machine.world().files.used();
            c.machine.world().files.capacity = used + 6;
            c.make_templates()
        }),
        scenario!(
            "make-template-that-never-wakes",
            |c| {
                created(c, BARE)?;
                let mut world = c.machine.world();
                world
                    .manners
                    .insert("template".to_owned(), Manners::NeverWakes);
                Ok(())
            },
            |c| {
                c.start_vm("a")?;
                c.make_templates()
            }
        ),
        scenario!("wake", templated, |c| c.start_vm("a")),
        scenario!("wake-new", templated, |c| c.create("b", &RUN).map(|_| ())),
        scenario!("wake-cancelled", templated, |c| {
            c.cancel_what_comes(true);
            c.start_vm("a")
        }),
        scenario!(
            "wake-never",
            |c| {
                templated(c)?;
                manners(c, Manners::NeverWakes);
                Ok(())
            },
            |c| c.start_vm("a")
        ),
        scenario!(
            "wake-nor-boot",
            |c| {
                templated(c)?;
                manners(c, Manners::NeverUp);
                Ok(())
            },
            |c| c.start_vm("a")
        ),
        scenario!(
            "wake-on-own-network",
            |c| {
                created(c, OWN)?;
                c.start_vm("a")?;
                c.stop("a")?;
                c.make_templates()
            },
            |c| c.start_vm("a")
        ),
        scenario!("prune-templates", templated, |c| c.prune_templates()),
        scenario!(
            "delete-kernel-with-template",
            |c| {
                templated(c)?;
                c.delete("a")
            },
            |c| c.delete_kernel("krn")
        ),
    ]
}

pub(super) fn own_kernels() -> Vec<Scenario> {
    vec![
        scenario!("run-own-kernel", base, |c| {
            let from = From {
                start: true,
                ..OWN_KERNEL
            };
            c.create("a", &from).map(|_| ())
        }),
        scenario!("start-own-kernel", |c| created(c, OWN_KERNEL), |c| c
            .start_vm("a")),
        scenario!(
            "start-other-kernel",
            |c| {
                other_kernel(c)?;
                c.stop("a")
            },
            |c| c.start_vm("a")
        ),
        scenario!(
            "reboot-other-kernel",
            |c| {
                other_kernel(c)?;
                vmms_end(c, Some(ExitCause::GuestReset));
                Ok(())
            },
            |c| c.watch_to_the_end("a")
        ),
        scenario!("delete-own-kernel", |c| running(c, OWN_KERNEL), |c| c
            .delete("a")),
    ]
}
