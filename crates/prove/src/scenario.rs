//! Scenarios of the sweep: a machine in some state, and one action on it.

use banger_api::ExitCause;
use banger_api::vm::{NetStack, RestartPolicy, VmState};
use banger_ops::{HostResult, plans, policy};

use crate::daemon::Daemon;
use crate::fs::Loss;
use crate::process::Manners;
use crate::requests::From;
use crate::stray;

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn(&Daemon) -> HostResult<()>,
    pub(crate) act: fn(&Daemon) -> HostResult<()>,
}

const BARE: From<'static> = From {
    image: "img",
    kernel: Some("krn"),
    grown: false,
    port: None,
    stack: NetStack::Slirp,
    restart: RestartPolicy::No,
    start: false,
    own_kernel: false,
};

/// An image and a kernel.
fn base(daemon: &Daemon) -> HostResult<()> {
    daemon.build("img", "debian", false)?;
    daemon.import("krn", "linux")
}

fn created(daemon: &Daemon, from: From<'_>) -> HostResult<()> {
    base(daemon)?;
    daemon.create("a", &from).map(|_| ())
}

fn running(daemon: &Daemon, from: From<'_>) -> HostResult<()> {
    created(daemon, from)?;
    daemon.start_vm("a")
}

fn manners(daemon: &Daemon, manners: Manners) {
    let mut world = daemon.machine.world();
    world.manners.insert("a".to_owned(), manners);
}

const OWN_KERNEL: From<'static> = From {
    own_kernel: true,
    ..PUBLISHED
};

/// A VM that runs the kernel of its own root, in which another one was installed.
fn other_kernel(daemon: &Daemon) -> HostResult<()> {
    running(daemon, OWN_KERNEL)?;
    daemon.machine.world().installed.insert("a".to_owned());
    Ok(())
}

const ALWAYS: From<'static> = From {
    restart: RestartPolicy::Always,
    ..PUBLISHED
};

const PUBLISHED: From<'static> = From {
    port: Some(8080),
    ..BARE
};

const OWN: From<'static> = From {
    stack: NetStack::Own,
    ..PUBLISHED
};

const OWN_ELSEWHERE: From<'static> = From {
    port: Some(8082),
    ..OWN
};

const RUN: From<'static> = From {
    start: true,
    ..PUBLISHED
};

/// Ends every VMM by itself, and gives its pid to a stranger.
fn vmms_end(daemon: &Daemon, cause: Option<ExitCause>) {
    let vms = daemon.vms().unwrap_or_default();
    let mut world = daemon.machine.world();
    let ended = vms.iter().filter(|vm| vm.state == VmState::Running);
    let ended: Vec<_> = ended.map(|vm| (vm.id, cause.clone())).collect();
    if cause == Some(ExitCause::GuestReset) {
        for vm in &vms {
            // A guest that is still being started reboots for nobody, and of a daemon that has died the record may name a
            // VMM that is gone.
            let lives = plans::identity(vm).is_some_and(|vmm| world.processes.same(&vmm).is_some());
            if lives && vm.state == VmState::Running {
                *world.ledger.reboots.entry(vm.id).or_default() += 1;
            }
        }
    }
    world.ledger.ends.extend(ended);
    let pids: Vec<u32> = world.processes.launches().map(|(pid, _)| pid).collect();
    for pid in pids {
        world.processes.end(pid, cause.clone());
        world.processes.stranger_at(pid);
    }
}

/// A running VM whose guest has rebooted once more than `before` times, which the daemon has not seen yet.
fn rebooted(daemon: &Daemon, before: usize) -> HostResult<()> {
    running(daemon, PUBLISHED)?;
    for _ in 0..before {
        vmms_end(daemon, Some(ExitCause::GuestReset));
        daemon.watch_to_the_end("a")?;
    }
    vmms_end(daemon, Some(ExitCause::GuestReset));
    Ok(())
}

/// A running VM whose network process has ended by itself, which the daemon has not seen yet.
fn net_died(daemon: &Daemon) -> HostResult<()> {
    running(daemon, OWN)?;
    nets_end(daemon);
    Ok(())
}

/// Ends every network process by itself, and gives its pid to a stranger.
fn nets_end(daemon: &Daemon) {
    let mut world = daemon.machine.world();
    let pids: Vec<u32> = world.processes.nets().map(|(pid, _)| pid).collect();
    for pid in pids {
        world.processes.end(pid, None);
        world.processes.stranger_at(pid);
    }
}

/// Does nothing: only the daemon's restart follows.
fn nothing(_daemon: &Daemon) -> HostResult<()> {
    Ok(())
}

macro_rules! scenario {
    ($name:literal, $prepare:expr, $act:expr) => {
        Scenario {
            name: $name,
            prepare: $prepare,
            act: $act,
        }
    };
}

mod checkpoints;
mod damaged;
mod files;
mod memory;
mod networks;

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vms();
    all.extend(ends());
    all.extend(damaged::damages());
    all.extend(files::pulls());
    all.extend(files::files());
    all.extend(strays());
    all.extend(networks::networks());
    all.extend(memory::templates());
    all.extend(memory::suspended());
    all.extend(memory::own_kernels());
    all.extend(checkpoints::checkpoints());
    all
}

fn vms() -> Vec<Scenario> {
    vec![
        scenario!("create", base, |c| c.create("a", &BARE).map(|_| ())),
        scenario!("create-grown", base, |c| {
            let from = From {
                grown: true,
                ..BARE
            };
            c.create("a", &from).map(|_| ())
        }),
        scenario!("create-taken-name", |c| created(c, BARE), |c| {
            c.create("a", &BARE).map(|_| ())
        }),
        scenario!("create-full-disk", base, |c| {
            c.machine.world().files.capacity = 8;
            c.create("a", &BARE).map(|_| ())
        }),
        scenario!(
            "create-blank",
            |c| {
                c.build("img", "alpine", false)?;
                c.import("krn", "linux")
            },
            |c| c.create("a", &BARE).map(|_| ())
        ),
        scenario!("run", base, |c| c.create("a", &RUN).map(|_| ())),
        scenario!("create-from-nothing", nothing, |c| {
            let from = From {
                image: "debian",
                kernel: None,
                ..BARE
            };
            c.create("a", &from).map(|_| ())
        }),
        scenario!(
            "run-guest-never-up",
            |c| {
                manners(c, Manners::NeverUp);
                base(c)
            },
            |c| c.create("a", &RUN).map(|_| ())
        ),
        scenario!("run-port-taken", |c| running(c, PUBLISHED), |c| {
            c.create("b", &RUN).map(|_| ())
        }),
        scenario!("run-cancelled", base, |c| {
            c.cancel_what_comes(true);
            c.create("a", &RUN).map(|_| ())
        }),
        scenario!("restart", |c| running(c, PUBLISHED), |c| c.restart("a")),
        scenario!(
            "prune",
            |c| {
                running(c, PUBLISHED)?;
                c.create("b", &BARE).map(|_| ())
            },
            |c| c.prune()
        ),
        scenario!("start-first", |c| created(c, PUBLISHED), |c| c
            .start_vm("a")),
        scenario!(
            "start-grown",
            |c| {
                running(c, BARE)?;
                c.stop("a")?;
                c.set_disk("a", 4 * crate::content::SIZE)
            },
            |c| c.start_vm("a")
        ),
        scenario!("grow-running", |c| running(c, BARE), |c| c
            .set_disk("a", 4 * crate::content::SIZE)),
        scenario!(
            "grow-after-vmm-died",
            |c| {
                running(c, BARE)?;
                vmms_end(c, Some(ExitCause::GuestShutdown));
                Ok(())
            },
            |c| c.set_disk("a", 4 * crate::content::SIZE)
        ),
        scenario!(
            "start-guest-never-up",
            |c| {
                created(c, PUBLISHED)?;
                manners(c, Manners::NeverUp);
                Ok(())
            },
            |c| c.start_vm("a")
        ),
        scenario!(
            "start-guest-panics",
            |c| {
                created(c, PUBLISHED)?;
                manners(c, Manners::Panics);
                Ok(())
            },
            |c| c.start_vm("a")
        ),
        scenario!("start-cancelled", |c| created(c, PUBLISHED), |c| {
            c.cancel_what_comes(true);
            c.start_vm("a")
        }),
        scenario!(
            "start-port-taken",
            |c| {
                running(c, PUBLISHED)?;
                c.create("b", &PUBLISHED).map(|_| ())
            },
            |c| c.start_vm("b")
        ),
        scenario!("stop", |c| running(c, PUBLISHED), |c| c.stop("a")),
        scenario!(
            "stop-guest-never-down",
            |c| {
                manners(c, Manners::NeverDown);
                running(c, PUBLISHED)
            },
            |c| c.stop("a")
        ),
        scenario!("kill", |c| running(c, PUBLISHED), |c| c.kill("a", 9)),
        scenario!(
            "kill-with-a-signal",
            |c| {
                manners(c, Manners::Stubborn);
                running(c, PUBLISHED)
            },
            |c| c.kill("a", 15)
        ),
        scenario!("delete-running", |c| running(c, PUBLISHED), |c| c
            .delete("a")),
        scenario!("delete-created", |c| created(c, BARE), |c| c.delete("a")),
        scenario!(
            "delete-stopped",
            |c| {
                running(c, PUBLISHED)?;
                c.stop("a")
            },
            |c| c.delete("a")
        ),
        scenario!("replace-running", |c| running(c, PUBLISHED), |c| c
            .replace("a", &RUN)
            .map(|_| ())),
        scenario!("replace-created", |c| created(c, BARE), |c| c
            .replace("a", &PUBLISHED)
            .map(|_| ())),
        scenario!(
            "replace-guest-never-up",
            |c| {
                created(c, PUBLISHED)?;
                manners(c, Manners::NeverUp);
                Ok(())
            },
            |c| c.replace("a", &RUN).map(|_| ())
        ),
        scenario!("life", base, |c| {
            c.create("a", &PUBLISHED)?;
            c.start_vm("a")?;
            c.stop("a")?;
            c.delete("a")
        }),
    ]
}

fn ends() -> Vec<Scenario> {
    vec![
        scenario!("restart-while-running", |c| running(c, PUBLISHED), nothing),
        scenario!(
            "restart-after-power-off",
            |c| {
                running(c, PUBLISHED)?;
                vmms_end(c, Some(ExitCause::GuestShutdown));
                Ok(())
            },
            nothing
        ),
        scenario!(
            "restart-after-vmm-killed",
            |c| {
                running(c, PUBLISHED)?;
                vmms_end(c, None);
                Ok(())
            },
            nothing
        ),
        scenario!(
            "comes-back-after-power-cut",
            |c| {
                running(c, ALWAYS)?;
                c.machine.world().power_cut(Loss::All);
                Ok(())
            },
            nothing
        ),
        scenario!(
            "comes-back-after-vmm-killed",
            |c| {
                running(c, ALWAYS)?;
                vmms_end(c, None);
                Ok(())
            },
            nothing
        ),
        scenario!(
            "stays-down-when-stopped",
            |c| {
                running(c, ALWAYS)?;
                c.stop("a")
            },
            nothing
        ),
        scenario!(
            "guest-powers-off",
            |c| {
                running(c, PUBLISHED)?;
                vmms_end(c, Some(ExitCause::GuestShutdown));
                Ok(())
            },
            |c| c.watch("a")
        ),
        scenario!("guest-reboots", |c| rebooted(c, 0), |c| c
            .watch_to_the_end("a")),
        scenario!(
            "guest-reboots-for-ever",
            |c| rebooted(c, policy::TOO_MANY_REBOOTS - 2),
            |c| {
                c.watch_to_the_end("a")?;
                vmms_end(c, Some(ExitCause::GuestReset));
                c.watch_to_the_end("a")
            }
        ),
        scenario!("restart-after-guest-rebooted", |c| rebooted(c, 0), nothing),
        scenario!(
            "vmm-dies",
            |c| {
                running(c, PUBLISHED)?;
                vmms_end(c, None);
                Ok(())
            },
            |c| c.watch("a")
        ),
        scenario!(
            "stop-after-vmm-died",
            |c| {
                running(c, PUBLISHED)?;
                vmms_end(c, None);
                Ok(())
            },
            |c| c.stop("a")
        ),
    ]
}

/// Removal of strays beside a running VM and a stopped one.
fn strays() -> Vec<Scenario> {
    vec![
        scenario!(
            "sweep",
            |c| {
                running(c, PUBLISHED)?;
                c.create("b", &BARE)?;
                stray::plant(c)
            },
            |c| c.sweep()
        ),
        scenario!("sweep-nothing", |c| running(c, PUBLISHED), |c| c.sweep()),
    ]
}
