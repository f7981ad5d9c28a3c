//! The proof as a whole: the sweep and the seeds, on as many threads as there are cores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use banger_store::StoreError;

use crate::machine::Machine;
use crate::report::{Options, Report};
use crate::scenario;
use crate::seeds;
use crate::snapshot::Snapshot;
use crate::sweep::{Case, Stage};
use crate::tamper::{Honest, Tamper};

/// A proof that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The store in memory failed.
    #[error("cannot make a store in memory")]
    Store(#[from] StoreError),
    /// The case does not exist.
    #[error("there is no case \"{0}\" in the sweep")]
    NoCase(String),
}

/// A unit of work.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// An action of a scenario.
    Point { scenario: usize, at: usize },
    /// Seeds from this one on.
    Seeds { from: u64, count: u64 },
}

/// Seeds in a unit of work.
const CHUNK: u64 = 50;

/// Runs the proof that `options` select.
///
/// # Errors
/// Only when the proof itself cannot run; findings are in the report.
pub fn run(options: &Options) -> Result<Report, ProveError> {
    run_with(options, &Honest)
}

/// The same with a planted bug.
///
/// # Errors
/// As [`run`].
pub fn run_with(options: &Options, tamper: &'static dyn Tamper) -> Result<Report, ProveError> {
    let began = Instant::now();
    let mut report = match (&options.case, options.seed) {
        (Some(case), _) => one_case(case, tamper)?,
        (None, Some(seed)) => one_seed(seed, tamper)?,
        (None, None) => all(options, tamper)?,
    };
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

fn one_case(name: &str, tamper: &'static dyn Tamper) -> Result<Report, ProveError> {
    let none = || ProveError::NoCase(name.to_owned());
    let (scenario, rest) = name.split_once(':').ok_or_else(none)?;
    let case = Case::parse(rest).ok_or_else(none)?;
    let scenarios = scenario::all();
    let scenario = scenarios
        .iter()
        .find(|known| known.name == scenario)
        .ok_or_else(none)?;
    let machine = Machine::new()?;
    let empty = Snapshot::take(&machine)?;
    let stage = Stage::set(&machine, tamper, scenario, &empty)?;
    let mut report = Report::default();
    stage.replay(&case, &mut report)?;
    Ok(report)
}

fn one_seed(seed: u64, tamper: &'static dyn Tamper) -> Result<Report, ProveError> {
    let machine = Machine::new()?;
    let empty = Snapshot::take(&machine)?.traced();
    let mut report = Report::default();
    seeds::play(&machine, tamper, &empty, seed, &mut report)?;
    report.trace = machine.world().trace.take().unwrap_or_default();
    Ok(report)
}

fn all(options: &Options, tamper: &'static dyn Tamper) -> Result<Report, ProveError> {
    let mut scenarios = scenario::all();
    if let Some(name) = &options.scenario {
        scenarios.retain(|known| known.name == name);
        if scenarios.is_empty() {
            return Err(ProveError::NoCase(name.clone()));
        }
    }
    if options.skip_sweep {
        scenarios.clear();
    }
    let machine = Machine::without_events()?;
    let empty = Snapshot::take(&machine)?;
    let mut works = Vec::new();
    for (scenario, known) in scenarios.iter().enumerate() {
        let actions = Stage::set(&machine, tamper, known, &empty)?.natures.len();
        works.extend((0..=actions).map(|at| Work::Point { scenario, at }));
    }
    let mut from = 1;
    while from <= options.seeds {
        let count = CHUNK.min(options.seeds + 1 - from);
        works.push(Work::Seeds { from, count });
        from += count;
    }
    let total = works.len() as u64;
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let sum = Mutex::new(Report {
        scenarios: scenarios.len() as u64,
        ..Report::default()
    });
    let worker = || -> Result<(), ProveError> {
        let (swept, lived) = (Machine::without_events()?, Machine::new()?);
        let (bare, empty) = (Snapshot::take(&swept)?, Snapshot::take(&lived)?);
        // Points of one scenario follow each other: what it stands on is made once.
        let mut stage: Option<(usize, Stage<'_>)> = None;
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(work) = works.get(n) else {
                return Ok(());
            };
            let mut report = Report::default();
            match *work {
                Work::Point { scenario, at } => {
                    let set = match stage.take().filter(|(of, _)| *of == scenario) {
                        Some((_, set)) => set,
                        None => Stage::set(&swept, tamper, &scenarios[scenario], &bare)?,
                    };
                    set.play_all(at, &mut report)?;
                    stage = Some((scenario, set));
                }
                Work::Seeds { from, count } => {
                    for seed in from..from + count {
                        seeds::play(&lived, tamper, &empty, seed, &mut report)?;
                    }
                }
            }
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.add(report);
            if options.until_failure && !sum.holds() {
                return Ok(());
            }
            drop(sum);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(progress) = &options.progress {
                progress(done, total);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner))
}
