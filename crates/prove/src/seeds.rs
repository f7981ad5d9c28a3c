//! Random seeds: several daemons' lives on one machine, with concurrent requests, faults and crashes in all of them.
//!
//! ```text
//! life: tasks take turns ─► requests, guests that misbehave, VMMs that die, pids that come round ─► dead, or all answered
//!       └─► recovery, perhaps cut off, until one comes through ─► the rules ─► the next life …
//! last: no fault any more: recovery, the rules, every command
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use banger_api::vm::RestartPolicy;
use banger_ops::HostResult;
use banger_ops::plans::ORDERLY_EXIT;
use banger_store::StoreError;

use crate::content::SIZE;
use crate::control::Control;
use crate::fault::Faults;
use crate::fs::Loss;
use crate::living::From;
use crate::machine::Machine;
use crate::process::Manners;
use crate::random::Random;
use crate::report::Report;
use crate::schedule::Schedule;
use crate::snapshot::Snapshot;
use crate::tamper::{Honest, Tamper};
use crate::{settled, stray, works};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const FILE_NAMES: [&str; 3] = ["x", "y", "z"];
const CONTENTS: [&str; 2] = ["debian", "alpine"];
const PORTS: [u16; 2] = [8080, 8081];
/// Recoveries in a row that may be cut off or fail, before one without a fault.
const CUTS: u32 = 3;

/// Plays one seed.
pub(crate) fn play(
    machine: &Arc<Machine>,
    tamper: &dyn Tamper,
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
        // Most machines have something to make VMs from.
        let control = Control::start_daemon(machine, &Honest)?;
        let _ = control.build("x", "debian");
        let _ = control.import("x", "debian");
        let _ = control.build("y", "debian");
        let _ = control.import("y", "alpine");
    }
    if random.chance(1, 8) {
        let control = Control::start_daemon(machine, &Honest)?;
        let _ = stray::plant(&control);
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
        let control = Control::start_daemon(machine, tamper)?;
        broken.extend(works::failures(&control));
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
    tamper: &dyn Tamper,
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
    let control = Control::start_daemon(machine, tamper)?;
    let tasks = 2 + random.below(4);
    let schedule = Arc::new(Schedule::new(tasks, Random::new(random.next())));
    machine.set_schedule(Some(Arc::clone(&schedule)));
    let succeeded = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for task in 0..tasks {
            let (control, schedule) = (&control, Arc::clone(&schedule));
            let succeeded = &succeeded;
            let mut random = Random::new(random.next());
            let requests = 1 + random.below(5);
            report.requests += requests as u64;
            scope.spawn(move || {
                schedule.task(task, || {
                    for _ in 0..requests {
                        // What a request answers is its own business; the rules are looked at when all is at rest.
                        if request(control, &mut random).is_ok() {
                            succeeded.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            });
        }
        schedule.begin();
    });
    machine.set_schedule(None);
    report.succeeded += succeeded.into_inner();
    Ok(())
}

fn request(control: &Control<'_>, random: &mut Random) -> HostResult<()> {
    let name = random.pick(&NAMES).unwrap_or("a");
    let file = random.pick(&FILE_NAMES).unwrap_or("x");
    let content = random.pick(&CONTENTS).unwrap_or("debian");
    match random.below(25) {
        0..=4 => {
            let port = random.pick(&PORTS).filter(|_| random.chance(1, 2));
            let from = From {
                image: file,
                kernel: random.pick(&FILE_NAMES).unwrap_or("x"),
                seeded: random.chance(1, 2),
                grown: random.chance(1, 2),
                port,
                restart: RestartPolicy::No,
            };
            control.create(name, &from).map(|_| ())
        }
        5..=9 => control.start(name),
        10..=11 => control.stop(name),
        12 => control.kill(name, [9, 15][random.below(2)]),
        13..=14 => control.delete(name),
        15 => control.build(file, content),
        16 => control.pull(file, content),
        17 => control.delete_image(file),
        18..=19 => control.import(file, content),
        20 => control.delete_kernel(file),
        21 => control.set_disk(name, SIZE * (1 + random.below(4) as u64)),
        22 => stray::sweep(control),
        23 => {
            vmm_ends(control, random);
            control.watch(name)
        }
        _ => {
            mischief(control, name, random);
            Ok(())
        }
    }
}

/// A VMM ends by itself.
fn vmm_ends(control: &Control<'_>, random: &mut Random) {
    let mut world = control.machine.world();
    let pids: Vec<u32> = world.processes.launches().map(|(pid, _)| pid).collect();
    if let Some(pid) = random.pick(&pids) {
        let cause = random.chance(1, 2).then_some(ORDERLY_EXIT);
        world.processes.end(pid, cause);
        if random.chance(1, 2) {
            world.processes.stranger_at(pid);
        }
    }
}

/// Guests that misbehave, and people who change their minds.
fn mischief(control: &Control<'_>, name: &str, random: &mut Random) {
    let manners = [
        Manners::Good,
        Manners::NeverUp,
        Manners::Panics,
        Manners::NeverDown,
        Manners::Stubborn,
    ];
    match random.below(3) {
        0 => {
            control.cancel().cancel();
            control.uncancel();
        }
        _ => {
            let manners = random.pick(&manners).unwrap_or(Manners::Good);
            let mut world = control.machine.world();
            world.manners.insert(name.to_owned(), manners);
        }
    }
}

fn power_cut(machine: &Machine, random: &mut Random) {
    let loss = random.pick(&[Loss::All, Loss::Contents, Loss::Mixed]);
    machine.world().power_cut(loss.unwrap_or(Loss::All));
}

/// Recoveries until one comes through, and what is wrong then.
fn recover(
    machine: &Arc<Machine>,
    tamper: &dyn Tamper,
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
        let control = Control::start_daemon(machine, tamper)?;
        if cut < CUTS {
            // Cut off, or with failures: the next one must cope.
            let _ = control.recover();
            continue;
        }
        let mut broken = settled::recover(&control);
        broken.extend(settled::violations(&control));
        return Ok(broken);
    }
    Ok(Vec::new())
}
