//! `doctor`: every precondition with its verdict and advice.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything is in order.
    Pass,
    /// It works, but could be better.
    Warn,
    /// It prevents banger from working.
    Fail,
}

/// One precondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Its stable name.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The finding.
    pub finding: String,
    /// The next step for the user.
    pub advice: Option<String>,
}

/// All preconditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The checks, in a fixed order.
    pub checks: Vec<Check>,
}
