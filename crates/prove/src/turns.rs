//! How the control plane's work runs in a proof: at once, or in turns that a seed decides; and who holds a lock for too long.

use std::sync::Arc;

use banger_api::OperationId;
use banger_control::{Held, Job, Key, Locks, Queues, Spawn, Waiter};

use crate::machine::Machine;

/// The longest that a VM's lock may be held, ms: a guest that does not come up to its deadline, and what undoes its start.
const LOCK_MS: u64 = 240_000;

/// Runs work in the turns of the machine's schedule; without one, at once.
pub(crate) struct SimSpawn {
    pub(crate) machine: Arc<Machine>,
}

impl Spawn for SimSpawn {
    fn spawn(&self, job: Job) {
        match self.machine.schedule() {
            Some(schedule) => schedule.spawn(job),
            None => job(),
        }
    }

    fn wait(&self, ready: &mut dyn FnMut() -> bool) {
        match self.machine.schedule() {
            Some(schedule) => schedule.wait_until(ready),
            // All else has run to its end already.
            None if ready() => {}
            None => self.machine.world().broke(STUCK.to_owned()),
        }
    }

    fn wake(&self) {
        if let Some(schedule) = self.machine.schedule() {
            schedule.wake();
        }
    }
}

/// The rule that a deadlock breaks.
pub(crate) const STUCK: &str = "somebody waits for what nobody will bring";

/// The real queues, watched.
pub(crate) struct WatchedQueues {
    pub(crate) machine: Arc<Machine>,
    pub(crate) queues: Queues,
}

impl Locks for WatchedQueues {
    fn queue(&self, key: Key, waiter: Waiter) {
        let machine = Arc::clone(&self.machine);
        let given = waiter.turn;
        let turn = move |turn: Result<Held, _>| given(turn.map(|held| watched(machine, held)));
        let waiter = Waiter {
            operation: waiter.operation,
            turn: Box::new(turn),
        };
        self.queues.queue(key, waiter);
    }

    fn withdraw(&self, operation: OperationId) {
        self.queues.withdraw(operation);
    }
}

fn watched(machine: Arc<Machine>, held: Held) -> Held {
    // Beside other tasks the clock is theirs, too.
    if !matches!(held.key(), Key::Vm(_)) || machine.schedule().is_some() {
        return held;
    }
    let began = machine.world().clock_us;
    Held::new(held.key().clone(), move || {
        let mut world = machine.world();
        let held_ms = (world.clock_us - began) / 1_000;
        if held_ms > LOCK_MS {
            world.broke(format!("a VM's lock is held for {held_ms} ms"));
        }
        drop(world);
        drop(held);
    })
}
