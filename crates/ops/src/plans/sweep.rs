//! The plan of a sweep: what nothing claims goes.

use std::path::PathBuf;

use banger_api::OperationId;
use banger_engine::VmmIdentity;
use banger_store::Owner;

use crate::steps::{EndStray, RemoveDirectory};
use crate::{Direction, Plan, PlanKind};

/// Ends these VMMs, then removes these directories. The caller has made sure that nothing claims them.
pub fn sweep(op: OperationId, strays: Vec<VmmIdentity>, directories: Vec<PathBuf>) -> Plan {
    let mut plan = Plan::new(
        op,
        PlanKind::Sweep,
        None,
        Owner::Operation(op),
        Direction::Forward,
    );
    plan.steps = strays
        .into_iter()
        .map(|vmm| EndStray { vmm }.into())
        .collect();
    plan.steps.extend(
        directories
            .into_iter()
            .map(|path| RemoveDirectory { path }.into()),
    );
    plan
}
