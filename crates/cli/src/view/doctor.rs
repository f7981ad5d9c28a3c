//! `doctor`.

use banger_api::doctor::{Report, Status};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;
use crate::output::style::Tone;

/// Every precondition with its status and its fix.
#[derive(Debug, Serialize)]
pub struct Doctor {
    /// The checks.
    #[serde(flatten)]
    pub report: Report,
    /// Fixes by `--fix` before the checks, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<String>,
}

impl Doctor {
    /// Something stops banger from working.
    pub fn fails(&self) -> bool {
        self.count(Status::Fail) > 0
    }

    fn count(&self, status: Status) -> usize {
        let checks = self.report.checks.iter();
        checks.filter(|check| check.status == status).count()
    }
}

impl Render for Doctor {
    fn text(&self, page: &mut Page) {
        let width = self
            .report
            .checks
            .iter()
            .map(|check| check.name.len())
            .max();
        let width = width.unwrap_or(0);
        for check in &self.report.checks {
            let (status, tone) = match check.status {
                Status::Ok => ("ok  ", Tone::Good),
                Status::Warn => ("warn", Tone::Attention),
                Status::Fail => ("FAIL", Tone::Bad),
            };
            let status = page.paint(status, tone);
            page.hanging(
                &format!("{status}  {:width$}  ", check.name),
                8 + width,
                &check.cause,
            );
            if let Some(fix) = &check.fix {
                page.hanging(&format!("{:1$}→ ", "", 8 + width), 10 + width, fix);
            }
        }
        page.line(match (self.count(Status::Fail), self.count(Status::Warn)) {
            (0, 0) => "this host is ready".to_owned(),
            (0, warned) => format!("this host is ready; {warned} could be better"),
            (failed, _) => format!("this host is not ready: {failed} failed"),
        });
    }
}

#[cfg(test)]
mod tests {
    use banger_api::doctor::Check;

    use super::*;

    #[test]
    fn what_fails_stands_out_and_says_what_to_do() {
        let check = |status, fix: Option<&str>| Check {
            name: "kvm".to_owned(),
            status,
            cause: "no vmx".to_owned(),
            fix: fix.map(str::to_owned),
        };
        let doctor = Doctor {
            fixed: Vec::new(),
            report: Report {
                checks: vec![
                    check(Status::Ok, None),
                    check(Status::Fail, Some("do this")),
                ],
            },
        };
        let mut page = Page::new();
        doctor.text(&mut page);
        assert!(doctor.fails());
        assert_eq!(
            page.into_text(),
            "ok    kvm  no vmx\nFAIL  kvm  no vmx\n           → do this\nthis host is not ready: 1 failed\n"
        );
    }
}
