//! Records and plans that cannot be read any more.

use banger_ops::HostResult;

use super::{BARE, PUBLISHED, Scenario, created, nothing, running, vmms_end};
use crate::daemon::Daemon;
use crate::damage;

/// A running VM whose VMM's identity has become unreadable.
fn unreadable(daemon: &Daemon) -> HostResult<()> {
    running(daemon, PUBLISHED)?;
    damage::identity(daemon, "a")
}

/// Two VMs, one of which runs and has a row that cannot be read any more.
fn row_unreadable(daemon: &Daemon) -> HostResult<()> {
    running(daemon, PUBLISHED)?;
    daemon.create("b", &BARE)?;
    damage::row(daemon, "a")
}

/// A VM that a newer build was stopping when it died.
fn newer_plan(daemon: &Daemon) -> HostResult<()> {
    running(daemon, PUBLISHED)?;
    daemon.create("b", &BARE)?;
    damage::plan_cut_off(daemon, "a", damage::NEWER, |c| c.stop("a"))
}

/// A VM whose deletion was cut off, with a plan whose paths lead out of banger's directories by now.
fn plan_outside(daemon: &Daemon) -> HostResult<()> {
    created(daemon, BARE)?;
    daemon.create("b", &BARE)?;
    damage::plan_cut_off(daemon, "a", damage::OUTSIDE, |c| c.delete("a"))
}

pub(super) fn damages() -> Vec<Scenario> {
    vec![
        scenario!("restart-row-damaged", row_unreadable, nothing),
        scenario!("kill-row-damaged", row_unreadable, |c| c.kill("a", 9)),
        scenario!("delete-row-damaged", row_unreadable, |c| c.delete("a")),
        scenario!("start-beside-a-damaged-row", row_unreadable, |c| c
            .start_vm("b")),
        scenario!("restart-newer-plan", newer_plan, nothing),
        scenario!("restart-plan-outside", plan_outside, nothing),
        scenario!("restart-identity-unreadable", unreadable, nothing),
        scenario!("kill-identity-unreadable", unreadable, |c| c.kill("a", 9)),
        scenario!("stop-identity-unreadable", unreadable, |c| c.stop("a")),
        scenario!("delete-identity-unreadable", unreadable, |c| c.delete("a")),
        scenario!(
            "restart-identity-unreadable-after-vmm-killed",
            |c| {
                unreadable(c)?;
                vmms_end(c, None);
                Ok(())
            },
            nothing
        ),
    ]
}
