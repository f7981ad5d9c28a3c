//! Conditions: problems of a running VM, besides its state.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Timestamp;

/// One problem of a running VM. It disappears by itself when its cause does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// The problem.
    pub kind: ConditionKind,
    /// Observation that shows it.
    pub cause: ConditionCause,
    /// Time of its first observation; for a silent agent, the time of its last answer.
    #[schema(value_type = String, format = "date-time")]
    pub since: Timestamp,
    /// Process id of the VM's VMM on the host.
    #[serde(default)]
    pub vmm_pid: Option<u32>,
}

/// Problem of a running VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// Its VMM lives, but does not execute the guest.
    VmmStandsStill,
    /// The guest's agent is gone or does not answer.
    AgentGone,
    /// A value that only a newer build knows.
    #[serde(other)]
    Other,
}

/// Observation that shows a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConditionCause {
    /// A signal such as `SIGSTOP` stopped the VMM.
    StoppedBySignal,
    /// A debugger holds the VMM.
    Traced,
    /// The VMM's control group is frozen.
    Frozen,
    /// The VMM cannot write the guest's disks, most often because the host's disk is full.
    DiskError,
    /// The VMM has paused its guest.
    Paused,
    /// The VMM's monitor does not answer.
    MonitorSilent,
    /// The agent's end of the channel is closed: it has ended.
    PortClosed,
    /// The agent has not answered for 5 s.
    Silent,
    /// A value that only a newer build knows.
    #[serde(other)]
    Other,
}

impl ConditionKind {
    /// The problem in one or two words, for a column.
    pub fn short(self) -> &'static str {
        match self {
            Self::VmmStandsStill => "stands still",
            Self::AgentGone => "agent gone",
            Self::Other => "not well",
        }
    }
}

impl Condition {
    /// The next step for the user of the VM called `name`.
    pub fn hint(&self, name: &str) -> String {
        let restart = format!("banger vm restart {name} starts it anew");
        match (self.cause, self.vmm_pid) {
            (ConditionCause::StoppedBySignal, Some(pid)) => {
                format!("kill -CONT {pid} lets it go on; {restart}")
            }
            (ConditionCause::DiskError, _) => {
                format!(
                    "free some space on the host (banger vm prune, banger image prune); then {restart}"
                )
            }
            (ConditionCause::Paused, _) => {
                format!("banger vm resume {name} lets it go on; {restart}")
            }
            _ => restart,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ConditionKind::VmmStandsStill => "its VMM stands still",
            ConditionKind::AgentGone => "its guest's agent is gone",
            ConditionKind::Other => "it is not well",
        };
        write!(f, "{kind} since {}", self.since)?;
        let cause = match self.cause {
            ConditionCause::StoppedBySignal => "a signal stopped it",
            ConditionCause::Traced => "a debugger holds it",
            ConditionCause::Frozen => "its control group is frozen",
            ConditionCause::DiskError => {
                "it cannot write the guest's disks; is the host's disk full?"
            }
            ConditionCause::Paused => "it has paused its guest",
            ConditionCause::MonitorSilent => "its monitor does not answer",
            ConditionCause::PortClosed => "it has ended",
            ConditionCause::Silent => "it does not answer",
            ConditionCause::Other => return Ok(()),
        };
        write!(f, ": {cause}")?;
        match (self.kind, self.vmm_pid) {
            (ConditionKind::VmmStandsStill, Some(pid)) => write!(f, " (process {pid})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(json: &str) -> Condition {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_condition_reads_and_writes_the_documented_json_and_names_the_next_step() {
        let json = r#"{"kind":"vmm_stands_still","cause":"stopped_by_signal","since":"2026-01-01T00:00:00.000Z","vmm_pid":7}"#;
        let still = condition(json);
        assert_eq!(serde_json::to_string(&still).unwrap(), json);
        let text = still.to_string();
        assert!(
            text.starts_with("its VMM stands still since 2026-01-01T00:00:00"),
            "{text}"
        );
        assert!(
            text.ends_with(": a signal stopped it (process 7)"),
            "{text}"
        );
        assert_eq!(
            still.hint("web"),
            "kill -CONT 7 lets it go on; banger vm restart web starts it anew"
        );
    }

    #[test]
    fn what_a_newer_build_tells_is_a_condition_that_is_not_understood() {
        let newer = condition(
            r#"{"kind":"clock_lost","cause":"cosmic_ray","since":"2026-01-01T00:00:00Z","extra":1}"#,
        );
        assert_eq!(newer.kind, ConditionKind::Other);
        assert_eq!(newer.cause, ConditionCause::Other);
        assert!(newer.hint("web").contains("restart web"));
    }
}
