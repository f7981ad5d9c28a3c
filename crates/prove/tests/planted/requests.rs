//! Bugs in requests: how they wait for each other, and what they take for done.

use std::sync::Arc;

use banger_api::OperationId;
use banger_control::{Held, Key, Locks, Waiter};
use banger_ops::{Plan, PlanKind, Step};
use banger_prove::Tamper;

/// The planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBug {
    /// No request waits for its turn at a VM.
    ForgetTheLockOfTheVm,
    /// A lock is never given back.
    KeepTheLock,
    /// Nobody waits until what was answered is on the disk: a create is reported, and its VM started, before its record
    /// is durable.
    AnswerBeforeTheDisk,
    /// A delete does not end the VMM, and reports success.
    DeleteLeavesTheVmm,
}

impl Tamper for RequestBug {
    fn locks(&self, locks: Arc<dyn Locks>) -> Arc<dyn Locks> {
        match self {
            Self::ForgetTheLockOfTheVm | Self::KeepTheLock => {
                Arc::new(BuggyLocks { locks, bug: *self })
            }
            _ => locks,
        }
    }

    fn syncs(&self) -> bool {
        *self != Self::AnswerBeforeTheDisk
    }

    fn plan(&self, plan: &mut Plan) {
        if *self == Self::DeleteLeavesTheVmm && plan.kind == PlanKind::DeleteVm {
            plan.steps.retain(|step| !matches!(step, Step::EndVmm(_)));
        }
    }
}

/// Locks with a bug.
struct BuggyLocks {
    locks: Arc<dyn Locks>,
    bug: RequestBug,
}

impl Locks for BuggyLocks {
    fn queue(&self, key: Key, waiter: Waiter) {
        match (self.bug, &key) {
            (RequestBug::ForgetTheLockOfTheVm, Key::Vm(_)) => {
                (waiter.turn)(Ok(Held::new(key, || {})));
            }
            (RequestBug::KeepTheLock, _) => {
                let given = waiter.turn;
                let turn = move |turn: Result<Held, _>| {
                    given(
                        turn.map(|held| Held::new(held.key().clone(), || std::mem::forget(held))),
                    );
                };
                let waiter = Waiter {
                    operation: waiter.operation,
                    turn: Box::new(turn),
                };
                self.locks.queue(key, waiter);
            }
            _ => self.locks.queue(key, waiter),
        }
    }

    fn withdraw(&self, operation: OperationId) {
        self.locks.withdraw(operation);
    }
}
