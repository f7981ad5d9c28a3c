//! Strays, which nothing claims: found by an inventory, removed by a sweep.

use std::time::Duration;

use banger_engine::{Signal, VmmIdentity};
use banger_store::Claim;
use serde::{Deserialize, Serialize};

use super::process_claim;
use crate::{Change, HostResult, StepBody, StepCx};

/// Time for a killed process to be gone.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Ends a VMM that nothing claims. Its identity is checked again before it is signalled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndStray {
    /// The VMM.
    pub vmm: VmmIdentity,
}

impl StepBody for EndStray {
    fn stage(&self) -> &'static str {
        "clean_up"
    }
    fn releases(&self) -> Vec<Claim> {
        vec![process_claim(&self.vmm.launch_token)]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.end_vmm(&self.vmm, Signal::KILL, END_DEADLINE)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
