//! Starts, memory and adoption of VMMs with and without a jail, taking turns in one run.
//!
//! `cargo bench -p banger-engine --bench jail`. Needs QEMU; each guest is a few instructions that wait for ever.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // it measures and prints

#[path = "../tests/qemu/bench.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod bench;
#[path = "../tests/qemu/guest.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod guest;

use std::time::{Duration, Instant};

use banger_engine::{Delegation, Engine as _, JailMode, VmmIdentity};
use banger_measure::{Samples, asked_to_measure, runs};
use bench::{Bench, LONG, proc_file};

const MODES: [(&str, JailMode); 2] = [("without", JailMode::Off), ("with", JailMode::Require)];
/// A jailed start may take this much longer.
const START_MORE: Duration = Duration::from_millis(5);
/// A jailed VMM may have this much more memory, KiB.
const MEMORY_MORE_KIB: u64 = 1024;
/// VMMs that are adopted at once.
const ADOPTED: usize = 50;

fn main() {
    if !asked_to_measure() {
        return;
    }
    let runs = runs(10);
    let groups = Delegation::of_this_process();
    match &groups {
        Ok(groups) => println!("a control group for each VMM with {}", groups.controllers()),
        Err(why) => println!("without control groups: {why}"),
    }
    let jailed = |mode| {
        let mut bench = Bench::new();
        let groups = groups.as_ref().ok().cloned();
        bench.engine = bench.engine.clone().jailed(mode).grouped(groups);
        bench
    };
    let mut starts = MODES.map(|_| Samples::default());
    let mut memory = MODES.map(|_| Vec::new());
    for _ in 0..runs {
        for (n, (_, mode)) in MODES.into_iter().enumerate() {
            let (took, kib) = start(&mut jailed(mode));
            starts[n].push(took);
            memory[n].push(kib);
        }
    }
    let limit = starts[0].median() + START_MORE;
    println!("{}", starts[0].line("start without a jail", None));
    println!("{}", starts[1].line("start in a jail", Some(limit)));
    let [without, with] = memory.map(median);
    let verdict = if with <= without + MEMORY_MORE_KIB {
        "ok"
    } else {
        "OVER"
    };
    println!(
        "memory of its own: {without} KiB without, {with} KiB with a jail  at most 1 MiB more: {verdict}"
    );

    let mut adoptions = MODES.map(|_| Samples::default());
    for _ in 0..runs.div_ceil(3) {
        for (n, (_, mode)) in MODES.into_iter().enumerate() {
            adoptions[n].push(adopt(&|| jailed(mode)));
        }
    }
    for (n, (name, _)) in MODES.into_iter().enumerate() {
        let what = format!("adoption of {ADOPTED} {name} jails");
        println!("{}", adoptions[n].line(&what, None));
    }
}

/// Time of one start, and the memory of the VMM that no other process shares, KiB.
fn start(bench: &mut Bench) -> (Duration, u64) {
    let spec = bench.spec(&guest::idle());
    let began = Instant::now();
    let id = bench.start(&spec);
    let took = began.elapsed();
    let kib = private_kib(&id);
    end(bench, &id);
    (took, kib)
}

fn private_kib(id: &VmmIdentity) -> u64 {
    let text = proc_file(id.pid, "smaps_rollup");
    let of = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    text.lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(of)
        .sum()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Time of adopting as many VMMs, one after another.
fn adopt(bench: &dyn Fn() -> Bench) -> Duration {
    let mut all: Vec<(Bench, VmmIdentity)> = (0..ADOPTED)
        .map(|_| {
            let mut one = bench();
            let spec = one.spec(&guest::idle());
            let id = one.start(&spec);
            (one, id)
        })
        .collect();
    let engine = all[0].0.engine.clone();
    let began = Instant::now();
    for (_, id) in &all {
        engine.adopt(id).unwrap();
    }
    let took = began.elapsed();
    for (bench, id) in &mut all {
        end(bench, id);
    }
    took
}

fn end(bench: &Bench, id: &VmmIdentity) {
    bench.engine.quit(id, LONG).unwrap();
    bench.engine.forget(id.dir()).unwrap();
}
