//! `doctor`.

use banger_api::doctor::{Report, Verdict};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;
use crate::output::style::Tone;

/// Every precondition with its verdict and what to do.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Doctor(pub Report);

impl Doctor {
    /// Something stops banger from working.
    pub fn fails(&self) -> bool {
        self.count(Verdict::Fail) > 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        let checks = self.0.checks.iter();
        checks.filter(|check| check.verdict == verdict).count()
    }
}

impl Render for Doctor {
    fn text(&self, page: &mut Page) {
        let width = self.0.checks.iter().map(|check| check.name.len()).max();
        let width = width.unwrap_or(0);
        for check in &self.0.checks {
            let (verdict, tone) = match check.verdict {
                Verdict::Pass => ("pass", Tone::Good),
                Verdict::Warn => ("warn", Tone::Attention),
                Verdict::Fail => ("FAIL", Tone::Bad),
            };
            let verdict = page.paint(verdict, tone);
            page.hanging(
                &format!("{verdict}  {:width$}  ", check.name),
                8 + width,
                &check.finding,
            );
            if let Some(advice) = &check.advice {
                page.hanging(&format!("{:1$}→ ", "", 8 + width), 10 + width, advice);
            }
        }
        page.line(
            match (self.count(Verdict::Fail), self.count(Verdict::Warn)) {
                (0, 0) => "this host is ready".to_owned(),
                (0, warned) => format!("this host is ready; {warned} could be better"),
                (failed, _) => format!("this host is not ready: {failed} failed"),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use banger_api::doctor::Check;

    use super::*;

    #[test]
    fn what_fails_stands_out_and_says_what_to_do() {
        let check = |verdict, advice: Option<&str>| Check {
            name: "kvm".to_owned(),
            verdict,
            finding: "no vmx".to_owned(),
            advice: advice.map(str::to_owned),
        };
        let doctor = Doctor(Report {
            checks: vec![
                check(Verdict::Pass, None),
                check(Verdict::Fail, Some("do this")),
            ],
        });
        let mut page = Page::new();
        doctor.text(&mut page);
        assert!(doctor.fails());
        assert_eq!(
            page.into_text(),
            "pass  kvm  no vmx\nFAIL  kvm  no vmx\n           → do this\nthis host is not ready: 1 failed\n"
        );
    }
}
