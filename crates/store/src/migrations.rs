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
    EVENTS,
    "
    CREATE TABLE checkpoints (
        id          TEXT PRIMARY KEY,
        vm          TEXT NOT NULL,
        name        TEXT NOT NULL,
        record      TEXT NOT NULL,
        created_ms  INTEGER NOT NULL,
        version     INTEGER NOT NULL,
        UNIQUE (vm, name)
    ) STRICT;
    -- Who needs a frozen layer: VMs whose disks lie over it, and checkpoints.
    CREATE TABLE layer_users (
        layer       TEXT NOT NULL,
        owner       TEXT NOT NULL,
        PRIMARY KEY (layer, owner)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX layer_users_by_owner ON layer_users (owner);
",
];

/// The log of events, which the database itself writes: no change without its event, no event without its change. `event` is the
/// JSON of [`banger_api::event::EventKind`]; a cursor is the log's id and `seq`, which is never given twice.
const EVENTS: &str = "
    CREATE TABLE event_log (id TEXT NOT NULL) STRICT;
    INSERT INTO event_log VALUES (lower(hex(randomblob(4))));
    CREATE TABLE events (
        seq   INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        vm    TEXT,
        event TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_vm ON events (vm, seq);

    CREATE TRIGGER event_vm_created AFTER INSERT ON vms BEGIN
        INSERT INTO events (at_ms, vm, event) VALUES (round(unixepoch('subsec') * 1000), NEW.id,
            json_object('event', 'vm_created', 'vm', NEW.id, 'name', NEW.name, 'state', NEW.state));
    END;
    CREATE TRIGGER event_vm_state AFTER UPDATE OF state ON vms WHEN NEW.state <> OLD.state BEGIN
        INSERT INTO events (at_ms, vm, event) VALUES (round(unixepoch('subsec') * 1000), NEW.id,
            json_object('event', 'vm_state', 'vm', NEW.id, 'name', NEW.name, 'from', OLD.state, 'to', NEW.state,
                'error', CASE WHEN json_valid(NEW.record) THEN json_extract(NEW.record, '$.error') END));
    END;
    CREATE TRIGGER event_vm_renamed AFTER UPDATE OF name ON vms WHEN NEW.name <> OLD.name BEGIN
        INSERT INTO events (at_ms, vm, event) VALUES (round(unixepoch('subsec') * 1000), NEW.id,
            json_object('event', 'vm_renamed', 'vm', NEW.id, 'name', NEW.name, 'before', OLD.name));
    END;
    CREATE TRIGGER event_vm_deleted AFTER DELETE ON vms BEGIN
        INSERT INTO events (at_ms, vm, event) VALUES (round(unixepoch('subsec') * 1000), OLD.id,
            json_object('event', 'vm_deleted', 'vm', OLD.id, 'name', OLD.name));
    END;

    CREATE TRIGGER event_operation_began AFTER INSERT ON operations BEGIN
        INSERT INTO events (at_ms, vm, event) VALUES (NEW.started_ms, NEW.vm,
            json_object('event', 'operation_began', 'operation', NEW.id, 'kind', NEW.kind, 'vm', NEW.vm, 'name', NEW.vm_name));
        -- One that is written down when it is over.
        INSERT INTO events (at_ms, vm, event) SELECT NEW.finished_ms, NEW.vm,
            json_object('event', 'operation_ended', 'operation', NEW.id, 'kind', NEW.kind, 'vm', NEW.vm, 'name', NEW.vm_name,
                'state', NEW.state, 'error', CASE WHEN json_valid(NEW.error) THEN json(NEW.error) END)
            WHERE NEW.finished_ms IS NOT NULL;
    END;
    CREATE TRIGGER event_operation_ended AFTER UPDATE OF finished_ms ON operations
        WHEN OLD.finished_ms IS NULL AND NEW.finished_ms IS NOT NULL BEGIN
        INSERT INTO events (at_ms, vm, event) VALUES (NEW.finished_ms, NEW.vm,
            json_object('event', 'operation_ended', 'operation', NEW.id, 'kind', NEW.kind, 'vm', NEW.vm, 'name', NEW.vm_name,
                'state', NEW.state, 'error', CASE WHEN json_valid(NEW.error) THEN json(NEW.error) END));
    END;

    CREATE TRIGGER event_image_added AFTER INSERT ON images BEGIN
        INSERT INTO events (at_ms, event) VALUES (round(unixepoch('subsec') * 1000),
            json_object('event', 'image_added', 'image', NEW.name, 'digest', NEW.digest));
    END;
    CREATE TRIGGER event_image_removed AFTER DELETE ON images BEGIN
        INSERT INTO events (at_ms, event) VALUES (round(unixepoch('subsec') * 1000),
            json_object('event', 'image_removed', 'image', OLD.name, 'digest', OLD.digest));
    END;
    CREATE TRIGGER event_kernel_added AFTER INSERT ON kernels BEGIN
        INSERT INTO events (at_ms, event) VALUES (round(unixepoch('subsec') * 1000),
            json_object('event', 'kernel_added', 'kernel', NEW.name, 'digest', NEW.digest));
    END;
    CREATE TRIGGER event_kernel_removed AFTER DELETE ON kernels BEGIN
        INSERT INTO events (at_ms, event) VALUES (round(unixepoch('subsec') * 1000),
            json_object('event', 'kernel_removed', 'kernel', OLD.name, 'digest', OLD.digest));
    END;
";

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
