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

/// Changes that share one commit at most: bounds how long the first one waits.
const BATCH: usize = 128;
/// Changes that may wait before a caller blocks.
const QUEUE: usize = 256;

type Applied = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Applies the change now; what it returns answers the caller once the commit is known.
type Change = Box<dyn FnOnce(&Transaction<'_>) -> Outcome + Send>;

/// What a change left, and how to answer its caller.
struct Outcome {
    ok: bool,
    answer: Applied,
}

#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<SyncSender<Change>>,
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

    pub(crate) fn submit<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = sync_channel(1);
        let change: Change = Box::new(move |tx| {
            let result = change(tx);
            Outcome {
                ok: result.is_ok(),
                answer: Box::new(move |committed: Result<(), StoreError>| {
                    // The caller may have gone: then nobody wants the answer.
                    let _ = answer.send(result.and_then(|value| committed.map(|()| value)));
                }),
            }
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

fn serve(mut db: Connection, changes: &Receiver<Change>) {
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = changes.try_recv()
        {
            batch.push(next);
        }
        commit(&mut db, batch);
    }
}

fn commit(db: &mut Connection, batch: Vec<Change>) {
    let mut answers = Vec::with_capacity(batch.len());
    let committed = (|| {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for change in batch {
            if let Some(answer) = apply(&tx, change)? {
                answers.push(answer);
            }
        }
        tx.commit()
    })();
    for answer in answers {
        answer(committed.as_ref().copied().map_err(copy_error));
    }
}

/// Runs one change in a savepoint of its own. A change that panics is undone, and its caller told that the store closed.
fn apply(tx: &Transaction<'_>, change: Change) -> rusqlite::Result<Option<Applied>> {
    tx.execute_batch("SAVEPOINT change")?;
    let outcome = catch_unwind(AssertUnwindSafe(|| change(tx)));
    let keep = matches!(&outcome, Ok(outcome) if outcome.ok);
    if !keep {
        tx.execute_batch("ROLLBACK TO change")?;
    }
    tx.execute_batch("RELEASE change")?;
    Ok(outcome.ok().map(|outcome| outcome.answer))
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
