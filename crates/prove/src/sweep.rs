//! The exhaustive sweep: every scenario × every action × every fault × a recovery, clean or cut off at every action.
//!
//! ```text
//! prepare ─► act, with one fault at action k ─┬─► the daemon died: recover ─► rules ─► every command works
//!                                             │        └─► again, cut off at its action j ─► recover ─► rules
//!                                             └─► it lives: every command works
//!                                                      └─► again: it is restarted, as for a dead one
//! ```

use std::sync::Arc;

use banger_store::StoreError;

use crate::daemon::Daemon;
use crate::fault::{Faults, Mode, Nature};
use crate::machine::Machine;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::snapshot::Snapshot;
use crate::tamper::Tamper;
use crate::{settled, works};

/// Faults that cut off a recovery.
const SECOND: [Mode; 3] = [Mode::CrashBefore, Mode::CrashAfter, Mode::PowerMix];

/// One scenario, prepared for many runs on one machine.
pub(crate) struct Stage<'a> {
    machine: Arc<Machine>,
    tamper: &'static dyn Tamper,
    scenario: &'a Scenario,
    ready: Snapshot,
    /// The natures of its actions.
    pub(crate) natures: Vec<Nature>,
}

/// A case: a fault at an action, and perhaps one in the recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) at: usize,
    pub(crate) mode: Mode,
    /// True to restart the daemon although it lives.
    pub(crate) restart: bool,
    pub(crate) second: Option<(usize, Mode)>,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:?}", self.at, self.mode)?;
        if self.restart {
            write!(f, ":restart")?;
        }
        match self.second {
            Some((at, mode)) => write!(f, ":{at}:{mode:?}"),
            None => Ok(()),
        }
    }
}

impl Case {
    /// Parses the text form of a [`Case`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(':').peekable();
        let mode = |word: &str| {
            Mode::ALL
                .into_iter()
                .find(|mode| format!("{mode:?}") == word)
        };
        let at = words.next()?.parse().ok()?;
        let first = mode(words.next()?)?;
        let restart = words.next_if_eq(&"restart").is_some();
        let second = match words.next() {
            Some(word) => Some((word.parse().ok()?, mode(words.next()?)?)),
            None => None,
        };
        Some(Self {
            at,
            mode: first,
            restart,
            second,
        })
    }
}

impl<'a> Stage<'a> {
    pub(crate) fn set(
        machine: &Arc<Machine>,
        tamper: &'static dyn Tamper,
        scenario: &'a Scenario,
        empty: &Snapshot,
    ) -> Result<Self, StoreError> {
        empty.restore(machine)?;
        // An untampered daemon prepares the scenario.
        let daemon = Daemon::start(machine, &crate::tamper::Honest)?;
        let prepared = (scenario.prepare)(&daemon);
        let ready = Snapshot::take(machine)?;
        let mut stage = Self {
            machine: Arc::clone(machine),
            tamper,
            scenario,
            ready,
            natures: Vec::new(),
        };
        if let Err(error) = prepared {
            machine.world().broke(format!("cannot prepare: {error}"));
        }
        stage.ready.restore(machine)?;
        machine.world().natures = Some(Vec::new());
        let daemon = Daemon::start(machine, tamper)?;
        // The result is ignored: some scenarios are about failing requests.
        let _ = (scenario.act)(&daemon);
        stage.natures = machine.world().natures.take().unwrap_or_default();
        Ok(stage)
    }

    /// Runs every case at action `at`; behind the last action, the cases of a restart.
    pub(crate) fn play_all(&self, at: usize, report: &mut Report) -> Result<(), StoreError> {
        report.points += 1;
        for mode in Mode::ALL {
            let applies = match self.natures.get(at) {
                Some(nature) => mode.applies_to(*nature),
                None => mode == Mode::CrashBefore || mode.loss().is_some(),
            };
            if !applies {
                continue;
            }
            report.faults += 1;
            let lives = at < self.natures.len() && !mode.ends_the_daemon();
            for restart in [false, true] {
                if restart || lives {
                    let case = Case {
                        at,
                        mode,
                        restart,
                        second: None,
                    };
                    self.play(&case, report)?;
                }
            }
        }
        Ok(())
    }

    /// Plans a fault. Without a power cut among them nothing need be remembered for one.
    fn plan(&self, at: usize, mode: Mode) {
        let mut world = self.machine.world();
        world.faults = Faults::At(at as u64, mode);
        world.power_stays = mode.loss().is_none();
    }

    /// Runs everything up to the moment when the daemon is restarted, or left alone.
    fn first_part(&self, case: &Case) -> Result<(), StoreError> {
        self.ready.restore(&self.machine)?;
        self.plan(case.at, case.mode);
        let daemon = Daemon::start(&self.machine, self.tamper)?;
        let _ = (self.scenario.act)(&daemon);
        let behind = case.at >= self.natures.len();
        let mut world = self.machine.world();
        world.faults = Faults::None;
        world.power_stays = false;
        if let Some(loss) = case.mode.loss().filter(|_| behind) {
            world.power_cut(loss);
        }
        Ok(())
    }

    fn play(&self, case: &Case, report: &mut Report) -> Result<(), StoreError> {
        if !case.restart {
            self.ready.restore(&self.machine)?;
            self.plan(case.at, case.mode);
            let daemon = Daemon::start(&self.machine, self.tamper)?;
            let _ = (self.scenario.act)(&daemon);
            self.machine.world().faults = Faults::None;
            self.judge(case, report, works::failures(&daemon));
            return Ok(());
        }
        self.first_part(case)?;
        let fallen = Snapshot::take(&self.machine)?;
        fallen.restore(&self.machine)?;
        self.machine.world().natures = Some(Vec::new());
        let daemon = Daemon::start(&self.machine, self.tamper)?;
        self.machine.world().power_stays = true;
        let mut broken = settled::recover(&daemon);
        let natures = self.machine.world().natures.take().unwrap_or_default();
        broken.extend(settled::violations(&daemon));
        if broken.is_empty() {
            broken.extend(works::failures(&daemon));
        }
        self.judge(case, report, broken);
        for (j, nature) in natures.iter().enumerate() {
            for mode in SECOND.into_iter().filter(|mode| mode.applies_to(*nature)) {
                report.recoveries_cut += 1;
                let second = Case {
                    second: Some((j, mode)),
                    ..*case
                };
                self.play_second(&fallen, &second, report)?;
            }
        }
        Ok(())
    }

    fn play_second(
        &self,
        fallen: &Snapshot,
        case: &Case,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let Some((at, mode)) = case.second else {
            return Ok(());
        };
        fallen.restore(&self.machine)?;
        self.plan(at, mode);
        let daemon = Daemon::start(&self.machine, self.tamper)?;
        let _ = daemon.recover();
        self.machine.world().faults = Faults::None;
        let daemon = Daemon::start(&self.machine, self.tamper)?;
        self.machine.world().power_stays = true;
        let mut broken = settled::recover(&daemon);
        broken.extend(settled::violations(&daemon));
        self.judge(case, report, broken);
        Ok(())
    }

    fn judge(&self, case: &Case, report: &mut Report, broken: Vec<String>) {
        report.checks += 1;
        for (mode, count) in std::mem::take(&mut self.machine.world().struck) {
            *report.struck.entry(mode).or_default() += count;
        }
        if !broken.is_empty() {
            let name = format!("{}:{case}", self.scenario.name);
            let replay = format!("banger prove --case {name}");
            report.fail(&name, replay, broken);
        }
    }

    /// Runs one case, and logs its events.
    pub(crate) fn replay(&self, case: &Case, report: &mut Report) -> Result<(), StoreError> {
        let traced = Stage {
            machine: Arc::clone(&self.machine),
            tamper: self.tamper,
            scenario: self.scenario,
            ready: self.ready.traced(),
            natures: self.natures.clone(),
        };
        let note = |line: &str| self.machine.world().note(|| line.to_owned());
        if case.restart {
            traced.first_part(case)?;
            note("--- restart");
            if case.second.is_some() {
                let fallen = Snapshot::take(&self.machine)?;
                traced.play_second(&fallen, case, report)?;
            } else {
                let daemon = Daemon::start(&self.machine, self.tamper)?;
                let mut broken = settled::recover(&daemon);
                broken.extend(settled::violations(&daemon));
                note("--- every command");
                broken.extend(works::failures(&daemon));
                traced.judge(case, report, broken);
            }
        } else {
            traced.play(case, report)?;
        }
        report.trace = self.machine.world().trace.take().unwrap_or_default();
        Ok(())
    }
}
