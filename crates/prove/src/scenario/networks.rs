//! VMs with network processes.

use super::{
    BARE, OWN, OWN_ELSEWHERE, Scenario, created, manners, net_died, nothing, running, vmms_end,
};
use crate::damage;
use crate::process::Manners;
use crate::stray;

/// VMs with network processes.
pub(super) fn networks() -> Vec<Scenario> {
    vec![
        scenario!("own-start", |c| created(c, OWN), |c| c.start_vm("a")),
        scenario!(
            "own-start-guest-never-up",
            |c| {
                created(c, OWN)?;
                manners(c, Manners::NeverUp);
                Ok(())
            },
            |c| c.start_vm("a")
        ),
        scenario!(
            "own-start-port-taken",
            |c| {
                running(c, OWN)?;
                c.create("b", &OWN).map(|_| ())
            },
            |c| c.start_vm("b")
        ),
        scenario!("own-stop", |c| running(c, OWN), |c| c.stop("a")),
        scenario!("own-kill", |c| running(c, OWN), |c| c.kill("a", 9)),
        scenario!("own-delete-running", |c| running(c, OWN), |c| c.delete("a")),
        scenario!("own-restart-while-running", |c| running(c, OWN), nothing),
        scenario!("own-port-added", |c| running(c, OWN), |c| c.change_ports(
            "a",
            &[8081],
            &[]
        )),
        scenario!("own-port-removed", |c| running(c, OWN), |c| c.change_ports(
            "a",
            &[],
            &[8080]
        )),
        scenario!("own-port-changed-after-net-died", net_died, |c| c
            .change_ports("a", &[8081], &[8080])),
        scenario!(
            "own-port-of-another",
            |c| {
                running(c, OWN)?;
                c.create("b", &OWN_ELSEWHERE)?;
                c.start_vm("b")
            },
            |c| c.change_ports("b", &[8080], &[])
        ),
        scenario!("own-net-dies", net_died, |c| c.watch_net("a")),
        scenario!("own-restart-after-net-died", net_died, nothing),
        scenario!("own-stop-after-net-died", net_died, |c| c.stop("a")),
        scenario!(
            "own-vmm-dies",
            |c| {
                running(c, OWN)?;
                vmms_end(c, None);
                Ok(())
            },
            |c| c.watch("a")
        ),
        scenario!(
            "own-restart-after-vmm-killed",
            |c| {
                running(c, OWN)?;
                vmms_end(c, None);
                Ok(())
            },
            nothing
        ),
        scenario!(
            "own-delete-row-damaged",
            |c| {
                running(c, OWN)?;
                c.create("b", &BARE)?;
                damage::row(c, "a")
            },
            |c| c.delete("a")
        ),
        scenario!(
            "own-sweep",
            |c| {
                running(c, OWN)?;
                stray::plant(c)
            },
            |c| c.sweep()
        ),
    ]
}
