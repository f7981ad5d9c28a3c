//! Random seeds: several lives of a daemon on one machine, with concurrent requests, faults and crashes in all of them.
//!
//! ```text
//! life: tasks take turns ─► requests, guests that misbehave, VMMs that die, reused pids ─► dead, or all answered
//!       └─► sometimes: the next daemon begins, when nothing is under way in this one
//!       └─► recovery, perhaps cut off, until one succeeds ─► the rules ─► the next life …
//! last: no more faults: recovery, the rules, every command
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use banger_api::ExitCause;
use banger_api::vm::{NetStack, RestartPolicy};
use banger_ops::HostResult;
use banger_store::StoreError;

use crate::content::SIZE;
use crate::daemon::Daemon;
use crate::fault::Faults;
use crate::fs::Loss;
use crate::machine::Machine;
use crate::process::Manners;
use crate::random::Random;
use crate::report::Report;
use crate::requests::From;
use crate::schedule::Schedule;
use crate::snapshot::Snapshot;
use crate::tamper::{Honest, Tamper};
use crate::turns::STUCK;
use crate::{settled, stray, works};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const FILE_NAMES: [&str; 3] = ["x", "y", "z"];
const CHECKPOINTS: [&str; 2] = ["c1", "c2"];
const CONTENTS: [&str; 2] = ["debian", "alpine"];
const PORTS: [u16; 2] = [8080, 8081];
/// One request in so many is that of a newer daemon: to make room for it.
const HAND_OVERS: u64 = 40;
/// Recoveries in a row that may be cut off or fail, before one without a fault.
const CUTS: u32 = 3;

/// Runs one seed.
pub(crate) fn play(
    machine: &Arc<Machine>,
    tamper: &'static dyn Tamper,
    empty: &Snapshot,
    seed: u64,
    report: &mut Report,
) -> Result<(), StoreError> {
    empty.restore(machine)?;
    let mut random = Random::new(seed);
    {
        let mut world = machine.world();
        world.random = Random::new(random.next());
        if random.chance(1, 4) {
            world.files.capacity = 8 + random.below(24);
        }
    }
    if random.chance(3, 4) {
        // Most machines have an image and a kernel for VMs.
        let daemon = Daemon::start(machine, &Honest)?;
        let _ = daemon.build("x", "debian", false);
        let _ = daemon.import("x", "debian");
        let _ = daemon.build("y", "debian", false);
        let _ = daemon.import("y", "alpine");
    }
    if random.chance(1, 8) {
        let daemon = Daemon::start(machine, &Honest)?;
        let _ = stray::plant(&daemon);
    }
    let mut broken = Vec::new();
    let lives = 1 + random.below(3);
    for _ in 0..lives {
        live(machine, tamper, &mut random, report)?;
        if random.chance(1, 4) {
            power_cut(machine, &mut random);
        }
        broken.extend(recover(machine, tamper, &mut random)?);
        report.checks += 1;
        if !broken.is_empty() {
            break;
        }
    }
    if broken.is_empty() {
        let daemon = Daemon::start(machine, tamper)?;
        broken.extend(works::failures(&daemon));
        report.checks += 1;
    }
    report.seeds += 1;
    for (mode, count) in std::mem::take(&mut machine.world().struck) {
        *report.struck.entry(mode).or_default() += count;
    }
    let replay = format!("banger prove --seed {seed}");
    report.fail(&format!("seed {seed}"), replay, broken);
    Ok(())
}

/// The life of one daemon.
fn live(
    machine: &Arc<Machine>,
    tamper: &'static dyn Tamper,
    random: &mut Random,
    report: &mut Report,
) -> Result<(), StoreError> {
    let faults = match random.below(4) {
        0 => Faults::None,
        _ => Faults::Random {
            of: [20, 60, 200][random.below(3)],
            random: Random::new(random.next()),
        },
    };
    machine.world().faults = faults;
    let daemon = Daemon::start(machine, tamper)?;
    let tasks = 2 + random.below(4);
    let schedule = Arc::new(Schedule::new(tasks, Random::new(random.next())));
    machine.set_schedule(Some(Arc::clone(&schedule)));
    let succeeded = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for task in 0..tasks {
            let (daemon, schedule) = (&daemon, Arc::clone(&schedule));
            let succeeded = &succeeded;
            let mut random = Random::new(random.next());
            let requests = 1 + random.below(5);
            report.requests += requests as u64;
            scope.spawn(move || {
                schedule.task(task, || {
                    for _ in 0..requests {
                        // Errors of requests are allowed; the rules are checked when everything is at rest.
                        let answer = match random.chance(1, HAND_OVERS) {
                            true => daemon.hand_over().map(drop),
                            false => daemon.take(|| request(daemon, &mut random)),
                        };
                        if answer.is_ok() {
                            succeeded.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            });
        }
        schedule.begin();
    });
    if !schedule.end() {
        machine.world().broke(STUCK.to_owned());
    }
    machine.set_schedule(None);
    report.succeeded += succeeded.into_inner();
    Ok(())
}

fn request(daemon: &Daemon, random: &mut Random) -> HostResult<()> {
    let name = random.pick(&NAMES).unwrap_or("a");
    let file = random.pick(&FILE_NAMES).unwrap_or("x");
    let content = random.pick(&CONTENTS).unwrap_or("debian");
    match random.below(35) {
        0..=4 => {
            let port = random.pick(&PORTS).filter(|_| random.chance(1, 2));
            let from = From {
                image: file,
                kernel: Some(random.pick(&FILE_NAMES).unwrap_or("x")),
                grown: random.chance(1, 2),
                port,
                stack: match random.chance(1, 2) {
                    true => NetStack::Own,
                    false => NetStack::Slirp,
                },
                restart: RestartPolicy::No,
                start: random.chance(1, 3),
                own_kernel: random.chance(1, 4),
            };
            daemon.create(name, &from).map(|_| ())
        }
        5..=9 => daemon.start_vm(name),
        10..=11 => daemon.stop(name),
        12 => daemon.kill(name, [9, 15][random.below(2)]),
        13..=14 => daemon.delete(name),
        15 => daemon.build(file, content, random.chance(1, 2)),
        16 => daemon.pull(file, content),
        17 => daemon.delete_image(file),
        18..=19 => daemon.import(file, content),
        20 => daemon.delete_kernel(file),
        21 => daemon.set_disk(name, SIZE * (1 + random.below(4) as u64)),
        22 => daemon.sweep(),
        23 => {
            vmm_ends(daemon, random);
            daemon.watch(name)
        }
        24 => daemon.restart(name),
        25 => daemon.save(name, file, random.chance(1, 2)),
        26 => daemon.reseed_image(file),
        27 => daemon.rename_image(file, random.pick(&FILE_NAMES).unwrap_or("x")),
        28 => daemon.prune(),
        29 => {
            net_ends(daemon, random);
            daemon.watch_net(name)
        }
        30 => daemon.checkpoint_anew(name, random.pick(&CHECKPOINTS)),
        31 => {
            let to = random.pick(&CHECKPOINTS).unwrap_or("c1");
            daemon.restore_blindly(name, to, random.chance(1, 2))
        }
        33 => daemon.fork_blindly(
            name,
            random.pick(&NAMES).unwrap_or("b"),
            random.pick(&[None, Some("c1")]).flatten(),
        ),
        32 => daemon.delete_checkpoint(name, random.pick(&CHECKPOINTS).unwrap_or("c1")),
        _ => {
            mischief(daemon, name, random);
            Ok(())
        }
    }
}

/// Ends a VMM by itself.
fn vmm_ends(daemon: &Daemon, random: &mut Random) {
    let mut world = daemon.machine.world();
    let pids: Vec<u32> = world.processes.launches().map(|(pid, _)| pid).collect();
    if let Some(pid) = random.pick(&pids) {
        let cause = match random.below(3) {
            0 => Some(ExitCause::GuestShutdown),
            1 => Some(ExitCause::GuestReset),
            _ => None,
        };
        world.processes.end(pid, cause);
        if random.chance(1, 2) {
            world.processes.stranger_at(pid);
        }
    }
}

/// Ends a network process by itself.
fn net_ends(daemon: &Daemon, random: &mut Random) {
    let mut world = daemon.machine.world();
    let pids: Vec<u32> = world.processes.nets().map(|(pid, _)| pid).collect();
    if let Some(pid) = random.pick(&pids) {
        world.processes.end(pid, None);
        if random.chance(1, 2) {
            world.processes.stranger_at(pid);
        }
    }
}

/// Lets guests misbehave, and cancels requests.
fn mischief(daemon: &Daemon, name: &str, random: &mut Random) {
    let manners = [
        Manners::Good,
        Manners::NeverUp,
        Manners::Panics,
        Manners::NeverDown,
        Manners::Stubborn,
    ];
    match random.below(3) {
        0 => daemon.cancel_all(),
        _ => {
            let manners = random.pick(&manners).unwrap_or(Manners::Good);
            let mut world = daemon.machine.world();
            world.manners.insert(name.to_owned(), manners);
        }
    }
}

fn power_cut(machine: &Machine, random: &mut Random) {
    let loss = random.pick(&[Loss::All, Loss::Contents, Loss::Mixed]);
    machine.world().power_cut(loss.unwrap_or(Loss::All));
}

/// Recovers until one recovery succeeds, and returns the violations after it.
fn recover(
    machine: &Arc<Machine>,
    tamper: &'static dyn Tamper,
    random: &mut Random,
) -> Result<Vec<String>, StoreError> {
    for cut in 0..=CUTS {
        machine.world().faults = match cut {
            0..CUTS => Faults::Random {
                of: 30,
                random: Random::new(random.next()),
            },
            _ => Faults::None,
        };
        let daemon = Daemon::start(machine, tamper)?;
        if cut < CUTS {
            // Cut off, or with failures: the next recovery must handle it.
            let _ = daemon.recover();
            continue;
        }
        let mut broken = settled::recover(&daemon);
        broken.extend(settled::violations(&daemon));
        return Ok(broken);
    }
    Ok(Vec::new())
}
