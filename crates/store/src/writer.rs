//! One caller writes at a time, for itself and for all who wait: their changes share one commit.
//!
//! ```text
//! submit ─┐
//! submit ─┼─► queue ──► the first to have the connection: BEGIN ─ savepoint ─ change ─ release ─ … ─ COMMIT
//! submit ─┘             the others find their change done when their turn comes
//! ```

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::StoreError;
use crate::connection::Durability;
use crate::statement::execute;

/// Largest number of changes in one commit: bounds how long the first one waits.
const BATCH: usize = 128;
/// Value of `PRAGMA synchronous` for `FULL`.
const FULL: i64 = 2;

/// One caller's change, and the way to answer it. Answered exactly once, also when its batch fails before its turn.
trait Change: Send {
    /// When it must be on the disk.
    fn durability(&self) -> Durability;
    /// Runs the change. `false`: it failed, and is to be undone.
    fn apply(&mut self, tx: &Transaction<'_>) -> bool;
    /// Answers the caller: with what the change said, unless the commit failed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Waiting<T, F> {
    durability: Durability,
    change: Option<F>,
    result: Option<Result<T, StoreError>>,
    caller: Sender<Result<T, StoreError>>,
}

impl<T, F> Change for Waiting<T, F>
where
    T: Send,
    F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn apply(&mut self, tx: &Transaction<'_>) -> bool {
        let Some(change) = self.change.take() else {
            return false;
        };
        // A change that panics has no result: its caller is told that the store is closed.
        let result = catch_unwind(AssertUnwindSafe(|| change(tx)));
        self.result = result.ok();
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.result, committed) {
            // Its own error says more than that of a commit that went without it.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // The caller may have gone: then nobody wants the answer.
        let _ = self.caller.send(answer);
    }
}

/// The connection, as it stands between two commits.
#[derive(Debug)]
struct Written {
    db: Connection,
    /// True when the store syncs at all: one in memory has nothing to sync.
    syncs: bool,
    /// True when the next commit syncs.
    full: bool,
}

/// The only way to write to a store.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Mutex<Queue>,
    written: Mutex<Written>,
}

/// Changes whose callers wait.
#[derive(Default)]
struct Queue(VecDeque<Box<dyn Change>>);

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queue").field(&self.0.len()).finish()
    }
}

impl Writer {
    pub(crate) fn new(db: Connection) -> Self {
        // In WAL mode FULL syncs the log at each commit, with all commits before it, and NORMAL at none
        // (https://sqlite.org/pragma.html#pragma_synchronous).
        let level = db.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
        Self {
            queue: Mutex::default(),
            written: Mutex::new(Written {
                db,
                syncs: matches!(level, Ok(level) if level >= FULL),
                full: true,
            }),
        }
    }

    /// Runs `change` and returns when it is committed. Whoever has the connection commits all changes that wait.
    pub(crate) fn submit<T, F>(&self, durability: Durability, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answered) = channel();
        locked(&self.queue).0.push_back(Box::new(Waiting {
            durability,
            change: Some(change),
            result: None,
            caller,
        }));
        let mut written = locked(&self.written);
        loop {
            match answered.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Disconnected) => return Err(StoreError::Closed),
                // Still in the queue, behind at most as many others as there are callers.
                Err(TryRecvError::Empty) => written.serve(self.batch()),
            }
        }
    }

    fn batch(&self) -> Vec<Box<dyn Change>> {
        let mut queue = locked(&self.queue);
        let count = queue.0.len().min(BATCH);
        queue.0.drain(..count).collect()
    }
}

/// A panic under either lock leaves it in order: the queue is whole between calls, and a dropped transaction is undone.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Written {
    /// Commits these changes together, and answers their callers.
    fn serve(&mut self, mut batch: Vec<Box<dyn Change>>) {
        let wanted = batch.iter().any(|c| c.durability() == Durability::Now);
        if self.syncs && wanted != self.full {
            let level = if wanted { "FULL" } else { "NORMAL" };
            // One that cannot be set back would break the promise: then the batch fails below, with the transaction.
            if self.db.pragma_update(None, "synchronous", level).is_ok() {
                self.full = wanted;
            }
        }
        let committed = match wanted && !self.full {
            true => Err(rusqlite::Error::InvalidQuery),
            false => commit(&mut self.db, &mut batch),
        };
        for change in batch {
            change.answer(committed.as_ref().copied().map_err(copy_error));
        }
    }
}

fn commit(db: &mut Connection, batch: &mut [Box<dyn Change>]) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // One that is alone needs no savepoint: the transaction is undone with it.
    if let [alone] = batch {
        return match alone.apply(&tx) {
            true => tx.commit(),
            false => tx.rollback(),
        };
    }
    for change in batch {
        execute(&tx, "SAVEPOINT change", [])?;
        if !change.apply(&tx) {
            // A full disk rolls the whole transaction back by itself: then this fails, and with it the batch.
            execute(&tx, "ROLLBACK TO change", [])?;
        }
        execute(&tx, "RELEASE change", [])?;
    }
    tx.commit()
}

/// Every caller of a failed batch gets the error; `rusqlite::Error` cannot be cloned.
fn copy_error(error: &rusqlite::Error) -> StoreError {
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(code, message) => (*code, message.clone()),
        other => (
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    };
    StoreError::Sqlite(rusqlite::Error::SqliteFailure(code, message))
}
