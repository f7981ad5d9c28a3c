//! Locks with queues: one for each VM, and for each name and each directory of an image or kernel.
//!
//! ```text
//! queue(key, waiter) ─► free: the waiter is called at once, with the lock
//!                       held: it stands in line; the release of the lock calls the next
//! ```
//! A waiter is a piece of data, not a thread: any number of operations may wait.
//!
//! One order holds for all that take several, so that no two wait for each other: names, then VMs by their ids, then files by
//! their digests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_api::{ApiError, ContentDigest, ErrorCode, OperationId, VmId};
use banger_ops::Cancel;

use crate::spawn::Spawn;

/// The thing that a lock protects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Making an image of this name.
    Image(String),
    /// Making a kernel of this name.
    Kernel(String),
    /// The files of the image with this digest.
    ImageFiles(ContentDigest),
    /// The files of the kernel with this digest.
    KernelFiles(ContentDigest),
    /// A VM.
    Vm(VmId),
}

/// A waiter for a lock.
pub struct Waiter {
    /// Its operation, by which it can be withdrawn.
    pub operation: Option<OperationId>,
    /// Callback, called once: with the lock, or with the error that ended the wait. Must not block.
    pub turn: Box<dyn FnOnce(Result<Held, ApiError>) + Send>,
}

/// A lock that is held until this is dropped.
pub struct Held {
    key: Key,
    release: Option<Box<dyn FnOnce() + Send>>,
}

impl Held {
    /// The lock of `key`; `release` gives it back.
    pub fn new(key: Key, release: impl FnOnce() + Send + 'static) -> Self {
        Self {
            key,
            release: Some(Box::new(release)),
        }
    }

    /// The thing that it protects.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

/// The locks of a control plane.
pub trait Locks: Send + Sync {
    /// Gives `waiter` its turn: now, or when all before it have had theirs.
    fn queue(&self, key: Key, waiter: Waiter);

    /// Takes an operation out of its line and calls its waiter with `cancelled`.
    fn withdraw(&self, operation: OperationId);
}

/// The real locks: first come, first served. Cheap to clone.
#[derive(Clone, Default)]
pub struct Queues(Arc<Mutex<Lines>>);

/// Locks that are held, with the waiters of each.
type Lines = HashMap<Key, VecDeque<Waiter>>;

impl Queues {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, key: Key) -> Held {
        let (queues, of) = (self.clone(), key.clone());
        Held::new(key, move || queues.release(&of))
    }

    fn release(&self, key: &Key) {
        let mut lines = self.lines();
        let next = lines.get_mut(key).and_then(VecDeque::pop_front);
        if next.is_none() {
            lines.remove(key);
        }
        drop(lines);
        if let Some(next) = next {
            (next.turn)(Ok(self.held(key.clone())));
        }
    }
}

impl Locks for Queues {
    fn queue(&self, key: Key, waiter: Waiter) {
        let mut lines = self.lines();
        if let Some(line) = lines.get_mut(&key) {
            line.push_back(waiter);
            return;
        }
        lines.insert(key.clone(), VecDeque::new());
        drop(lines);
        (waiter.turn)(Ok(self.held(key)));
    }

    fn withdraw(&self, operation: OperationId) {
        let is_its = |waiter: &Waiter| waiter.operation == Some(operation);
        let mut lines = self.lines();
        let found = lines.values_mut().find_map(|line| {
            let at = line.iter().position(is_its)?;
            line.remove(at)
        });
        drop(lines);
        if let Some(waiter) = found {
            (waiter.turn)(Err(cancelled()));
        }
    }
}

pub(crate) fn cancelled() -> ApiError {
    ApiError::new(ErrorCode::Cancelled, "cancelled")
}

/// Waits for a lock on the calling thread: for those that an operation needs in its middle.
///
/// # Errors
/// `cancelled`.
pub(crate) fn hold(
    locks: &dyn Locks,
    spawn: &Arc<dyn Spawn>,
    key: Key,
    operation: OperationId,
    cancel: &Cancel,
) -> Result<Held, ApiError> {
    let slot: Arc<Mutex<Option<Result<Held, ApiError>>>> = Arc::default();
    let take = || slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (given, waker) = (Arc::clone(&slot), Arc::clone(spawn));
    let waiter = Waiter {
        operation: Some(operation),
        turn: Box::new(move |turn| {
            *given.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
            waker.wake();
        }),
    };
    locks.queue(key, waiter);
    let mut taken = take();
    if taken.is_none() {
        spawn.wait(&mut || {
            taken = take();
            taken.is_some() || cancel.is_cancelled()
        });
    }
    if taken.is_none() {
        // Its turn may have come in this moment: then the lock is in the slot and is dropped with it.
        locks.withdraw(operation);
        drop(take());
    }
    taken.unwrap_or_else(|| Err(cancelled()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the waiters that had their turn, each with its lock if it got one.
    type Turns = Arc<Mutex<Vec<(&'static str, Option<Held>)>>>;

    /// Queues a waiter that writes `name` down when its turn comes.
    fn line_up(queues: &Queues, key: &Key, name: &'static str, turns: &Turns) -> OperationId {
        let (operation, turns) = (OperationId::new(), turns.clone());
        let waiter = Waiter {
            operation: Some(operation),
            turn: Box::new(move |turn| turns.lock().unwrap().push((name, turn.ok()))),
        };
        queues.queue(key.clone(), waiter);
        operation
    }

    #[test]
    fn a_lock_goes_from_one_to_the_next_in_their_order() {
        let (queues, turns) = (Queues::default(), Arc::default());
        let (a, b) = (Key::Vm(VmId::new()), Key::Image("b".to_owned()));
        for name in ["first", "second", "third"] {
            line_up(&queues, &a, name, &turns);
        }
        line_up(&queues, &b, "other", &turns);
        let names = || {
            let turns = turns.lock().unwrap();
            turns.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["first", "other"]);
        let first = turns.lock().unwrap()[0].1.take();
        drop(first);
        assert_eq!(names(), ["first", "other", "second"]);
        let second = turns.lock().unwrap()[2].1.take();
        drop(second);
        let third = turns.lock().unwrap()[3].1.take();
        drop(third);
        assert_eq!(names(), ["first", "other", "second", "third"]);
        let other = turns.lock().unwrap()[1].1.take();
        drop(other);
        assert!(queues.lines().is_empty(), "nothing is left of free locks");
    }

    #[test]
    fn one_that_is_withdrawn_is_told_so_and_holds_nobody_up() {
        let (queues, turns) = (Queues::default(), Arc::default());
        let key = Key::Vm(VmId::new());
        line_up(&queues, &key, "first", &turns);
        let second = line_up(&queues, &key, "second", &turns);
        line_up(&queues, &key, "third", &turns);
        queues.withdraw(second);
        {
            let turns = turns.lock().unwrap();
            assert_eq!(turns[1].0, "second");
            assert!(turns[1].1.is_none(), "it has no lock");
        }
        let first = turns.lock().unwrap()[0].1.take();
        drop(first);
        assert_eq!(turns.lock().unwrap()[2].0, "third");
    }
}
