//! One thread writes. What waits in its queue is committed together.
//!
//! ```text
//! submit ─┐
//! submit ─┼─► queue ──► BEGIN ─ savepoint ─ change ─ release ─ … ─ COMMIT ──► every waiting caller is answered
//! submit ─┘
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::StoreError;
use crate::connection::Durability;

/// Changes that share one commit at most: bounds how long the first one waits.
const BATCH: usize = 128;
/// `PRAGMA synchronous` as a number: `FULL`.
const FULL: i64 = 2;
/// Changes that may wait before a caller blocks.
const QUEUE: usize = 256;

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
    caller: SyncSender<Result<T, StoreError>>,
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

#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<SyncSender<Box<dyn Change>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(db: Connection) -> Self {
        let (queue, changes) = sync_channel(QUEUE);
        let thread = std::thread::spawn(move || serve(db, &changes));
        Self {
            queue: Some(queue),
            thread: Some(thread),
        }
    }

    pub(crate) fn submit<T, F>(&self, durability: Durability, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answered) = sync_channel(1);
        let change = Box::new(Waiting {
            durability,
            change: Some(change),
            result: None,
            caller,
        });
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(change).map_err(|_closed| StoreError::Closed)?;
        answered.recv().map_err(|_closed| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut db: Connection, changes: &Receiver<Box<dyn Change>>) {
    // In WAL mode FULL syncs the log at each commit, with all commits before it, and NORMAL at none
    // (https://sqlite.org/pragma.html#pragma_synchronous).
    let full = db.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    let switches = matches!(full, Ok(level) if level >= FULL);
    let mut now = true;
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = changes.try_recv()
        {
            batch.push(next);
        }
        let wanted = batch.iter().any(|c| c.durability() == Durability::Now);
        if switches && wanted != now {
            let level = if wanted { "FULL" } else { "NORMAL" };
            // One that cannot be set back would break the promise: then the batch fails below, with the transaction.
            now = match db.pragma_update(None, "synchronous", level) {
                Ok(()) => wanted,
                Err(_) => now,
            };
        }
        let committed = match wanted && !now {
            true => Err(rusqlite::Error::InvalidQuery),
            false => commit(&mut db, &mut batch),
        };
        for change in batch {
            change.answer(committed.as_ref().copied().map_err(copy_error));
        }
    }
}

fn commit(db: &mut Connection, batch: &mut [Box<dyn Change>]) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in batch {
        tx.execute_batch("SAVEPOINT change")?;
        if !change.apply(&tx) {
            // A full disk rolls the whole transaction back by itself: then this fails, and with it the batch.
            tx.execute_batch("ROLLBACK TO change")?;
        }
        tx.execute_batch("RELEASE change")?;
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
