//! `doctor`: every precondition with its status, the cause and the fix.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The status of a precondition. Older daemons say `pass` for `ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    #[serde(alias = "pass")]
    Ok,
    /// Works, but could be better.
    Warn,
    /// It prevents banger from working.
    Fail,
}

/// One precondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Its stable name.
    pub name: String,
    /// Its status.
    #[serde(alias = "verdict")]
    pub status: Status,
    /// The finding that decides the status.
    #[serde(alias = "finding")]
    pub cause: String,
    /// The way to a better status.
    #[serde(alias = "advice")]
    pub fix: Option<String>,
}

impl Check {
    /// A precondition that is met.
    pub fn ok(name: &str, cause: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            status: Status::Ok,
            cause: cause.into(),
            fix: None,
        }
    }

    /// A precondition that could be met better.
    pub fn warn(name: &str, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            status: Status::Warn,
            fix: Some(fix.into()),
            ..Self::ok(name, cause)
        }
    }

    /// A precondition that is not met.
    pub fn fail(name: &str, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            status: Status::Fail,
            fix: Some(fix.into()),
            ..Self::ok(name, cause)
        }
    }
}

/// All preconditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The checks, in a fixed order.
    pub checks: Vec<Check>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_an_older_daemon_is_understood() {
        let older = r#"{"checks": [{"name": "engine", "verdict": "pass", "finding": "qemu 7.2", "advice": null}]}"#;
        let report: Report = serde_json::from_str(older).unwrap();
        assert_eq!(report.checks, [Check::ok("engine", "qemu 7.2")]);
    }
}
