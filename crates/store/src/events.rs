//! The log of events, which triggers of the schema write.

use banger_api::Timestamp;
use banger_api::event::{Change, EventCursor, SystemEvent};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::StoreError;
use crate::statement::execute;

/// Numbers that are left out each time that a store is opened: more than there are events between two writes that wait for the disk.
const LEFT_OUT: i64 = 1_000;

/// Identity of the log. Another store has another one.
///
/// # Errors
/// Only the database's.
pub fn log(db: &Connection) -> Result<String, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM event_log")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Number of the newest event that there ever was; 0 when there was none.
///
/// # Errors
/// Only the database's.
pub fn newest(db: &Connection) -> Result<u64, StoreError> {
    // AUTOINCREMENT remembers it when the row is gone (https://sqlite.org/autoinc.html).
    let mut statement = db.prepare_cached(
        "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)",
    )?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Number of the oldest event that is kept; of the next one when none is.
///
/// # Errors
/// Only the database's.
pub fn oldest(db: &Connection) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached("SELECT min(seq) FROM events")?;
    let oldest: Option<u64> = statement.query_row([], |row| row.get(0))?;
    oldest.map_or_else(|| Ok(newest(db)? + 1), Ok)
}

/// The first `limit` events after number `after`, oldest first; of one VM (by id or by its name at that time) when `vm`
/// is given.
///
/// # Errors
/// Only the database's.
pub fn after(
    db: &Connection,
    after: u64,
    vm: Option<&str>,
    limit: u32,
) -> Result<Vec<SystemEvent>, StoreError> {
    let log = log(db)?;
    let mut statement = db.prepare_cached(
        "SELECT seq, at_ms, event FROM events
         WHERE seq > ?1 AND (?2 IS NULL OR vm = ?2 OR event ->> '$.name' = ?2) ORDER BY seq LIMIT ?3",
    )?;
    let rows = statement.query_map(params![after, vm, limit], |row| event(&log, row))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Number of the event before the newest `count` ones, for [`after`]; of one VM as there.
///
/// # Errors
/// Only the database's.
pub fn before_last(db: &Connection, vm: Option<&str>, count: u32) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT coalesce(min(seq) - 1, ?3) FROM
         (SELECT seq FROM events WHERE ?1 IS NULL OR vm = ?1 OR event ->> '$.name' = ?1 ORDER BY seq DESC LIMIT ?2)",
    )?;
    Ok(statement.query_row(params![vm, count, newest(db)?], |row| row.get(0))?)
}

/// Removes events from before `before_ms`, and the oldest ones beyond `count`. How many went.
///
/// # Errors
/// Only the database's.
pub fn trim(db: &Connection, before_ms: i64, count: u64) -> Result<usize, StoreError> {
    let sql = "SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?1";
    let mut statement = db.prepare_cached(sql)?;
    let beyond: Option<u64> = statement.query_row([count], |row| row.get(0)).optional()?;
    Ok(execute(
        db,
        "DELETE FROM events WHERE seq <= ?2 OR seq < (SELECT coalesce(min(seq), 0) FROM events WHERE at_ms >= ?1)",
        params![before_ms, beyond.unwrap_or(0)],
    )?)
}

/// Leaves numbers out, for a store that is opened: a power cut may have taken back events that somebody has seen, and their
/// numbers are not to be given to others. See [`crate::Durability::Soon`].
///
/// # Errors
/// Only the database's.
pub(crate) fn leave_out(db: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'events'";
    db.execute(sql, [LEFT_OUT]).map(drop)
}

fn event(log: &str, row: &Row<'_>) -> rusqlite::Result<SystemEvent> {
    let at_ms = row.get(1)?;
    let text = row.get_ref(2)?.as_str()?;
    Ok(SystemEvent {
        cursor: EventCursor {
            log: log.to_owned(),
            seq: row.get(0)?,
        },
        at: Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH),
        // One that another build wrote, or that a damaged disk holds, keeps its place: no cursor is skipped in silence.
        change: serde_json::from_str(text).unwrap_or(Change::Unknown),
    })
}
