//! Knowledge of running VMs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use banger_api::vm::VmState;
use banger_api::{Condition, ConditionCause, ConditionKind, Timestamp};
use banger_engine::{LaunchToken, VmmIdentity};
use banger_ops::plans;
use banger_process::{Look, Standing, Stillness};
use banger_store::VmRecord;

/// Time that an agent's port is closed before the agent is taken for gone for good: its keeper starts it again within a
/// second.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Conditions of all running VMs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    /// By the token of the launch: what was known of a VM's last VMM says nothing of its next.
    vmms: Arc<Mutex<HashMap<LaunchToken, Known>>>,
}

/// Knowledge of one VMM and its guest.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Its process stands still.
    process: Option<Seen>,
    /// Its monitor tells that it does not run its guest.
    monitor: Option<Seen>,
    /// Its guest's agent is gone.
    agent: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    cause: ConditionCause,
    since: Timestamp,
}

impl Seen {
    /// The same condition goes on, maybe for another cause; or it began at `since`.
    fn again(before: Option<Self>, cause: ConditionCause, since: Timestamp) -> Self {
        let since = before.map_or(since, |before| before.since);
        Self { cause, since }
    }
}

impl Conditions {
    /// Returns the conditions of a VM. Asks no guest.
    pub(crate) fn of(&self, record: &VmRecord, look: &mut Look) -> Vec<Condition> {
        if record.state != VmState::Running || record.damage.is_some() {
            return Vec::new();
        }
        let Some(vmm) = plans::identity(record) else {
            return Vec::new();
        };
        self.standing(&vmm, look);
        let known = self.lock().get(&vmm.launch_token).copied();
        known
            .and_then(|known| known.worst(&vmm))
            .into_iter()
            .collect()
    }

    /// The agent's condition when it is gone for good: nothing needs to be tried.
    pub(crate) fn lost_agent(&self, vmm: &VmmIdentity) -> Option<Condition> {
        let known = self.lock().get(&vmm.launch_token).copied()?;
        let agent = known.agent?;
        let closed = agent.cause == ConditionCause::PortClosed;
        let for_ms = Timestamp::now().as_millisecond() - agent.since.as_millisecond();
        let long = u128::try_from(for_ms).is_ok_and(|ms| ms >= GRACE.as_millis());
        (closed && long).then(|| condition(ConditionKind::AgentGone, agent, vmm))
    }

    /// Looks at the process of a VMM: why it stands still, if it does.
    pub(super) fn standing(&self, vmm: &VmmIdentity, look: &mut Look) -> Option<ConditionCause> {
        let cause = match look.standing(&vmm.process()) {
            Ok(Standing::StandsStill(Stillness::Stopped)) => Some(ConditionCause::StoppedBySignal),
            Ok(Standing::StandsStill(Stillness::Traced)) => Some(ConditionCause::Traced),
            Ok(Standing::StandsStill(Stillness::Frozen)) => Some(ConditionCause::Frozen),
            // Its end is seen by those who wait for it.
            Ok(Standing::Runs | Standing::Gone) => None,
            Err(error) => {
                tracing::warn!(pid = vmm.pid, %error, "cannot see whether a VMM stands still");
                None
            }
        };
        self.change(vmm, |known| {
            known.process = cause.map(|cause| Seen::again(known.process, cause, Timestamp::now()));
        });
        cause
    }

    /// The agent answered.
    pub(super) fn well(&self, vmm: &VmmIdentity) {
        self.change(vmm, |known| *known = Known::default());
    }

    /// The VMM does not run its guest, or does not say.
    pub(super) fn vmm_is(&self, vmm: &VmmIdentity, cause: ConditionCause) {
        self.change(vmm, |known| {
            known.monitor = Some(Seen::again(known.monitor, cause, Timestamp::now()));
        });
    }

    /// The VMM runs its guest; its agent is gone since then.
    pub(super) fn agent_is(&self, vmm: &VmmIdentity, cause: ConditionCause, since: Timestamp) {
        self.change(vmm, |known| {
            known.monitor = None;
            known.agent = Some(Seen { cause, since });
        });
    }

    /// The VMM runs its guest, and its agent may yet answer.
    pub(super) fn vmm_runs(&self, vmm: &VmmIdentity) {
        self.change(vmm, |known| known.monitor = None);
    }

    /// The VMM has ended.
    pub(super) fn forget(&self, vmm: &VmmIdentity) {
        self.lock().remove(&vmm.launch_token);
    }

    /// Changes what is known; a VMM of which nothing is known takes no place.
    fn change(&self, vmm: &VmmIdentity, change: impl FnOnce(&mut Known)) {
        let mut vmms = self.lock();
        let mut known = vmms.get(&vmm.launch_token).copied().unwrap_or_default();
        change(&mut known);
        match known.worst(vmm) {
            Some(_) => vmms.insert(vmm.launch_token.clone(), known),
            None => vmms.remove(&vmm.launch_token),
        };
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaunchToken, Known>> {
        self.vmms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The condition that explains the others: a VMM that stands still has no agent that could answer.
    fn worst(&self, vmm: &VmmIdentity) -> Option<Condition> {
        let still = self.process.or(self.monitor);
        let still = still.map(|seen| condition(ConditionKind::VmmStandsStill, seen, vmm));
        let gone = self.agent;
        still.or_else(|| gone.map(|seen| condition(ConditionKind::AgentGone, seen, vmm)))
    }
}

fn condition(kind: ConditionKind, seen: Seen, vmm: &VmmIdentity) -> Condition {
    Condition {
        kind,
        cause: seen.cause,
        since: seen.since,
        vmm_pid: Some(vmm.pid),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn vmm(token: &str) -> VmmIdentity {
        serde_json::from_value(serde_json::json!({
            "pid": 1, "start_ticks": 1, "boot_id": "another", "exe": "/q", "launch_token": token,
            "control_socket": "/d/c", "channel_socket": "/d/s", "console_log": "/d/l"
        }))
        .unwrap()
    }

    fn worst(
        conditions: &Conditions,
        vmm: &VmmIdentity,
    ) -> Option<(ConditionKind, ConditionCause)> {
        let known = conditions.lock().get(&vmm.launch_token).copied()?;
        known.worst(vmm).map(|worst| (worst.kind, worst.cause))
    }

    #[test]
    fn a_vmm_that_stands_still_explains_its_silent_agent_and_an_answer_ends_all() {
        let (conditions, one) = (Conditions::default(), vmm("launch-one"));
        let began = Timestamp::now();
        conditions.agent_is(&one, ConditionCause::Silent, began);
        let silent = (ConditionKind::AgentGone, ConditionCause::Silent);
        assert_eq!(worst(&conditions, &one), Some(silent));
        conditions.vmm_is(&one, ConditionCause::DiskError);
        let still = (ConditionKind::VmmStandsStill, ConditionCause::DiskError);
        assert_eq!(worst(&conditions, &one), Some(still));
        conditions.vmm_runs(&one);
        assert_eq!(worst(&conditions, &one), Some(silent));
        conditions.well(&one);
        assert_eq!(worst(&conditions, &one), None);
        assert!(
            conditions.lock().is_empty(),
            "nothing is kept of what is well"
        );
    }

    #[test]
    fn the_next_vmm_of_a_vm_begins_without_the_conditions_of_its_last() {
        let (conditions, one) = (Conditions::default(), vmm("launch-one"));
        conditions.agent_is(&one, ConditionCause::PortClosed, Timestamp::now());
        assert_eq!(worst(&conditions, &vmm("launch-two")), None);
        conditions.forget(&one);
        assert!(conditions.lock().is_empty());
    }

    #[test]
    fn an_agent_is_given_up_only_when_its_port_has_been_closed_for_a_while() {
        let (conditions, one) = (Conditions::default(), vmm("launch-one"));
        let ago = |ms| Timestamp::from_millisecond(Timestamp::now().as_millisecond() - ms).unwrap();
        conditions.agent_is(&one, ConditionCause::PortClosed, ago(1_000));
        assert_eq!(
            conditions.lost_agent(&one),
            None,
            "its keeper may start it again"
        );
        conditions.agent_is(&one, ConditionCause::Silent, ago(60_000));
        assert_eq!(conditions.lost_agent(&one), None, "it may be slow");
        conditions.agent_is(&one, ConditionCause::PortClosed, ago(6_000));
        assert!(conditions.lost_agent(&one).is_some());
    }
}
