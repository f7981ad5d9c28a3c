//! The schema, version by version. A migration that has been released is never edited.

use rusqlite::Connection;

use crate::StoreError;

/// Each brings the schema from version `index` to `index + 1`.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE vms (
        id          TEXT PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        state       TEXT NOT NULL,
        image       TEXT NOT NULL,
        kernel      TEXT NOT NULL,
        record      TEXT NOT NULL,
        created_ms  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE images (
        name        TEXT PRIMARY KEY,
        digest      TEXT NOT NULL,
        record      TEXT NOT NULL
    ) STRICT;
    CREATE TABLE kernels (
        name        TEXT PRIMARY KEY,
        digest      TEXT NOT NULL,
        record      TEXT NOT NULL
    ) STRICT;
    CREATE TABLE claims (
        kind        TEXT NOT NULL,
        resource    TEXT NOT NULL,
        owner       TEXT NOT NULL,
        PRIMARY KEY (kind, resource)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX claims_by_owner ON claims (owner);
    CREATE TABLE operations (
        id          TEXT PRIMARY KEY,
        kind        TEXT NOT NULL,
        vm          TEXT,
        vm_name     TEXT,
        state       TEXT NOT NULL,
        started_ms  INTEGER NOT NULL,
        finished_ms INTEGER,
        error       TEXT
    ) STRICT;
    CREATE INDEX operations_by_vm ON operations (vm);
    CREATE TABLE plans (
        id          TEXT PRIMARY KEY,
        operation   TEXT NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
        plan        TEXT NOT NULL,
        finished    INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX plans_unfinished ON plans (finished) WHERE finished = 0;
    CREATE INDEX plans_by_operation ON plans (operation);
    CREATE TABLE steps (
        plan        TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
        n           INTEGER NOT NULL,
        name        TEXT NOT NULL,
        state       TEXT NOT NULL,
        at_ms       INTEGER NOT NULL,
        us          INTEGER,
        error       TEXT,
        PRIMARY KEY (plan, n)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- A VMM is claimed as what it is for recovery and sweep: a process.
    UPDATE claims SET kind = 'process' WHERE kind = 'vmm';
",
    "
    -- Version of the JSON in the same row, which says how it is read.
    ALTER TABLE vms     ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE images  ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE kernels ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE plans   ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
",
];

/// Newest schema version that this build knows.
pub(crate) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// The version of an open database.
pub(crate) fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings `db` forward to [`NEWEST`].
pub(crate) fn run(db: &mut Connection) -> Result<(), StoreError> {
    let from = usize::try_from(version(db)?).unwrap_or(0);
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(from) {
        let tx = db.transaction()?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", index as i64 + 1)?;
        tx.commit()?;
    }
    Ok(())
}
