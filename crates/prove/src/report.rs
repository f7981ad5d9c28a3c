//! Options of a proof, and its report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Mode;

/// Options of a proof.
#[derive(Default)]
pub struct Options {
    /// Leave the sweep out.
    pub skip_sweep: bool,
    /// Only this scenario of the sweep.
    pub scenario: Option<String>,
    /// Stop soon after the first case that breaks a rule.
    pub until_failure: bool,
    /// Number of random seeds, from 1 on.
    pub seeds: u64,
    /// Only this seed, with a log of its events.
    pub seed: Option<u64>,
    /// Only this case of the sweep, with a log of its events.
    pub case: Option<String>,
    /// Called at intervals with the progress: done, total. Called from several threads.
    pub progress: Option<Box<dyn Fn(u64, u64) + Send + Sync>>,
}

/// A case that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// The rules that were broken.
    pub broken: Vec<String>,
    /// The command that repeats it.
    pub replay: String,
}

/// Coverage and findings of a proof.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Scenarios of the sweep.
    pub scenarios: u64,
    /// Actions (effects, looks, commits) of the scenarios at which faults were planted.
    pub points: u64,
    /// Faults of the sweep, one in each case.
    pub faults: u64,
    /// Recoveries that were cut off by a second fault.
    pub recoveries_cut: u64,
    /// Number of checks of all rules on a machine at rest.
    pub checks: u64,
    /// Random seeds.
    pub seeds: u64,
    /// Requests of the random seeds.
    pub requests: u64,
    /// Requests of the random seeds that succeeded.
    pub succeeded: u64,
    /// Number of faults of each kind that struck.
    pub struck: BTreeMap<Mode, u64>,
    /// Cases that broke a rule; at most 20 are kept.
    pub failures: Vec<Failure>,
    /// Number of cases that broke a rule.
    pub failed: u64,
    /// Number of times that each rule was broken, by scenario and rule without ids.
    pub rules: BTreeMap<String, u64>,
    /// Log of the events, if one case was requested.
    pub trace: Vec<String>,
    /// Wall time in milliseconds.
    pub took_ms: u64,
}

/// Failures that are kept, at most.
const KEPT: usize = 20;

/// A rule's text without ids: the same on every machine.
fn without_ids(rule: &str) -> String {
    let is_id =
        |word: &str| word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let words = rule.split_inclusive([' ', '/', ':', ',', '"', '[', ']']);
    words
        .map(|word| {
            let bare = word.trim_end_matches([' ', '/', ':', ',', '"', '[', ']']);
            match is_id(bare) {
                true => word.replace(bare, "…"),
                false => word.to_owned(),
            }
        })
        .collect()
}

impl Report {
    /// Tells whether every rule held.
    pub fn holds(&self) -> bool {
        self.failed == 0
    }

    pub(crate) fn fail(&mut self, case: &str, replay: String, broken: Vec<String>) {
        if broken.is_empty() {
            return;
        }
        self.failed += 1;
        let story = case.split([':', ' ']).next().unwrap_or_default();
        for rule in &broken {
            let rule = format!("{story}: {}", without_ids(rule));
            *self.rules.entry(rule).or_default() += 1;
        }
        if self.failures.len() < KEPT {
            self.failures.push(Failure {
                case: case.to_owned(),
                broken,
                replay,
            });
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.scenarios += other.scenarios;
        self.points += other.points;
        self.faults += other.faults;
        self.recoveries_cut += other.recoveries_cut;
        self.checks += other.checks;
        self.seeds += other.seeds;
        self.requests += other.requests;
        self.succeeded += other.succeeded;
        for (mode, count) in other.struck {
            *self.struck.entry(mode).or_default() += count;
        }
        self.failed += other.failed;
        for (rule, count) in other.rules {
            *self.rules.entry(rule).or_default() += count;
        }
        let room = KEPT.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
        self.trace.extend(other.trace);
    }
}
