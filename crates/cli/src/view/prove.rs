//! `prove`.

use banger_prove::Report;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;

/// Coverage and findings of a proof.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Proof(pub Report);

impl Render for Proof {
    fn text(&self, page: &mut Page) {
        let report = &self.0;
        for line in &report.trace {
            page.line(line);
        }
        page.line(format!(
            "sweep: {} scenarios, {} points, {} faults, {} of them again during recovery",
            report.scenarios, report.points, report.faults, report.recoveries_cut
        ));
        page.line(format!(
            "seeds: {} histories of {} requests, {} of which succeeded",
            report.seeds, report.requests, report.succeeded
        ));
        let struck: Vec<String> = report
            .struck
            .iter()
            .map(|(mode, count)| format!("{} {count}", mode.name()))
            .collect();
        page.line(format!("faults that struck: {}", struck.join(", ")));
        page.line(format!(
            "every rule was checked {} times in {:.1} s",
            report.checks,
            report.took_ms as f64 / 1_000.0
        ));
        for failure in &report.failures {
            page.line(format!("BROKEN  {}", failure.case));
            for rule in &failure.broken {
                page.line(format!("        {rule}"));
            }
            page.line(format!("        again: {}", failure.replay));
        }
        page.line(match report.failed {
            0 => "nothing was lost, nothing leaked".to_owned(),
            n => format!("{n} cases broke a rule"),
        });
    }
}
