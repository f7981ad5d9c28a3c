//! Planted bugs for the proof of the proof: in front of the machine, in the locks, or in the plans.

use std::sync::Arc;

use banger_control::{Control, Locks};
use banger_ops::{Host, HostResult, Plan, Recovered};

use crate::SimHost;

/// Changes the behaviour of the code under proof.
pub trait Tamper: Send + Sync {
    /// The host that the code under proof gets.
    fn host(&self, host: SimHost) -> Arc<dyn Host> {
        Arc::new(host)
    }

    /// The locks that the code under proof gets.
    fn locks(&self, locks: Arc<dyn Locks>) -> Arc<dyn Locks> {
        locks
    }

    /// Tells whether a durable commit really survives a power cut.
    fn syncs(&self) -> bool {
        true
    }

    /// Work of a daemon before its first request.
    ///
    /// # Errors
    /// As `banger_control::recover`.
    fn recover(&self, control: &Control) -> HostResult<Recovered> {
        banger_control::recover(control)
    }

    /// Tells whether a daemon waits, before it begins, until the one before it has nothing under way.
    fn waits_for_the_older_daemon(&self) -> bool {
        true
    }

    /// Tells whether a network process that is given other ports leaves those that it had before.
    fn leaves_ports(&self) -> bool {
        true
    }

    /// Changes a plan before it is run.
    fn plan(&self, plan: &mut Plan) {
        let _ = plan;
    }
}

/// Changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Honest;

impl Tamper for Honest {}
