//! Execution of the control plane's work in a proof: at once, or in turns that a seed decides; and a check of locks
//! that are held for too long.

use std::sync::Arc;

use banger_api::OperationId;
use banger_control::{Held, Job, Key, Locks, Queues, Spawn, Waiter};

use crate::machine::Machine;

/// Longest time that a VM's lock may be held, in ms: a guest's whole start deadline, and the undoing of its start.
const LOCK_MS: u64 = 240_000;

/// Runs work in the turns of the machine's schedule; without a schedule, at once.
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
            // Everything else has already run to its end.
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

/// The real queues, with a check of the time that locks are held.
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
    // With other tasks, the clock advances for them as well.
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
