//! The open store: one writing connection, one reading connection.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};
use uuid::Uuid;

use crate::StoreError;
use crate::events;
use crate::migrations;
use crate::writer::Writer;

/// Time that a connection waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared: more than this crate has, so that none is parsed twice.
const STATEMENTS: usize = 64;

/// Asked before each write. A refusal is that write's answer, and nothing of it happens.
pub type Gate = Box<dyn Fn(Durability) -> Result<(), StoreError> + Send + Sync>;

/// Told after each write that was committed, by its caller's thread.
pub type Committed = Box<dyn Fn() + Send + Sync>;

/// Effect of a power cut on a write that was answered. No other end, of a process or of all of them, has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: it is on the disk, with all that was written before it.
    Now,
    /// Take it back, with all that was written after it, as long as no [`Durability::Now`] followed. Costs no fsync.
    Soon,
}

/// The store. Cheap to share behind an `Arc`; all calls block.
pub struct Store {
    writer: Writer,
    reader: Mutex<Connection>,
    gate: Option<Gate>,
    committed: Option<Committed>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database at `path`, makes it when it is absent, and brings it forward.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] (nothing is touched) and [`StoreError::Open`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, OpenFlags::empty(), settings)
    }

    /// An empty store of this process alone, which ends with it: for proofs and tests. The same schema and the same
    /// transactions; only durability is absent.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn open_in_memory() -> Result<Self, StoreError> {
        // https://sqlite.org/c3ref/c_open_autoproxy.html, "memdb": a name that starts with "/" is shared in the process.
        let name = format!("file:/banger-{}?vfs=memdb", Uuid::new_v4());
        Self::open_with(
            Path::new(&name),
            OpenFlags::SQLITE_OPEN_URI,
            volatile_settings,
        )
    }

    /// The same store with a gate before its writes: a proof lets a process die between two of them.
    #[must_use]
    pub fn gated(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// The same store, which tells of its writes: who follows the log of events looks again.
    #[must_use]
    pub fn telling(mut self, committed: Committed) -> Self {
        self.committed = Some(committed);
        self
    }

    fn open_with(
        path: &Path,
        extra: OpenFlags,
        settings: fn(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        let open = |flags| {
            Connection::open_with_flags(path, flags)
                .and_then(|db| {
                    db.set_prepared_statement_cache_capacity(STATEMENTS);
                    settings(&db).map(|()| db)
                })
                .map_err(|source| StoreError::Open {
                    path: path.to_owned(),
                    source,
                })
        };
        let rw = extra | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = open(rw | OpenFlags::SQLITE_OPEN_CREATE)?;
        let opened = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let found = migrations::version(&db).map_err(opened)?;
        if found > migrations::NEWEST {
            return Err(StoreError::TooNew {
                path: path.to_owned(),
                found,
                known: migrations::NEWEST,
            });
        }
        migrations::run(&mut db)?;
        events::leave_out(&db)?;
        let reader = open(rw)?;
        Ok(Self {
            writer: Writer::new(db),
            reader: Mutex::new(reader),
            gate: None,
            committed: None,
        })
    }

    /// Runs `change` in a transaction that is durable when this returns. Changes that wait at the same time share one
    /// commit, hence one fsync; one that fails is undone alone.
    ///
    /// # Errors
    /// Those of `change`, and [`StoreError::Sqlite`] when the commit fails: then nothing of it was kept.
    pub fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.write_as(Durability::Now, change)
    }

    /// The same, durable as `durability` says.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_as<T, F>(&self, durability: Durability, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        if let Some(gate) = &self.gate {
            gate(durability)?;
        }
        let answer = self.writer.submit(durability, change);
        if let (Ok(_), Some(committed)) = (&answer, &self.committed) {
            committed();
        }
        answer
    }

    /// Runs `query` on the reading connection: it sees all that was written before.
    ///
    /// # Errors
    /// Those of `query`.
    pub fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A query that panicked leaves a read-only connection in order: autocommit ended its statement.
        query(&self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn volatile_settings(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "MEMORY")?;
    db.pragma_update(None, "synchronous", "OFF")?;
    db.pragma_update(None, "foreign_keys", true)
}

fn settings(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    // A resting daemon should be small: 512 KiB of pages hold a thousand VMs.
    db.pragma_update(None, "cache_size", -512)
}
