//! `doctor`: every precondition with its verdict and what to do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Works, but could be better.
    Warn,
    /// Stops banger from working.
    Fail,
}

/// One precondition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Its stable name.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// All preconditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The checks, in a fixed order.
    pub checks: Vec<Check>,
}
