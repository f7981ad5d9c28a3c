//! Scenarios of the sweep: a machine in some state, and one action on it.

use banger_api::ExitCause;
use banger_api::vm::{NetStack, RestartPolicy, VmState};
use banger_ops::{HostResult, plans, policy};

use crate::daemon::Daemon;
use crate::damage;
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

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vms();
    all.extend(ends());
    all.extend(damages());
    all.extend(pulls());
    all.extend(files());
    all.extend(strays());
    all.extend(networks());
    all.extend(templates());
    all.extend(suspended());
    all.extend(own_kernels());
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

fn suspended() -> Vec<Scenario> {
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

fn templates() -> Vec<Scenario> {
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

fn own_kernels() -> Vec<Scenario> {
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

fn damages() -> Vec<Scenario> {
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

/// VMs with network processes.
fn networks() -> Vec<Scenario> {
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
fn pulls() -> Vec<Scenario> {
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

fn files() -> Vec<Scenario> {
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
