//! The plan of a sweep: what nothing claims goes.

use banger_api::OperationId;
use banger_store::Owner;

use crate::inventory::Found;
use crate::steps::{EndStray, EndStrayNet, RemoveDirectory, net_claim, process_claim};
use crate::{Change, Direction, OwnDir, Plan, PlanKind};

/// Ends network processes and VMMs, then removes directories that nothing claimed when the caller looked. The operation claims them all first, in
/// the transaction that writes the plan: when something has come by an owner meanwhile, the plan does not begin.
pub fn sweep(op: OperationId, unclaimed: Found) -> Plan {
    let owner = Owner::Operation(op);
    let mut plan = Plan::new(op, PlanKind::Sweep, None, owner.clone(), Direction::Forward);
    let vmms = unclaimed
        .vmms
        .iter()
        .map(|vmm| process_claim(&vmm.launch_token));
    let nets = unclaimed.nets.iter().map(|net| net_claim(&net.token));
    let directories = unclaimed.directories.iter().map(OwnDir::claim);
    plan.begin = vmms
        .chain(nets)
        .chain(directories)
        .map(|claim| Change::Claim(claim, owner.clone()))
        .collect();
    let nets = unclaimed.nets.into_iter();
    plan.steps = nets.map(|net| EndStrayNet { net }.into()).collect();
    let vmms = unclaimed.vmms.into_iter();
    plan.steps.extend(vmms.map(|vmm| EndStray { vmm }.into()));
    plan.steps.extend(
        unclaimed
            .directories
            .into_iter()
            .map(|path| RemoveDirectory { path }.into()),
    );
    plan
}
