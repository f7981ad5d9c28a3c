//! Statements that are parsed once for each connection.

use rusqlite::{Connection, Params};

/// Runs a statement that a connection keeps prepared, and returns the number of rows that it changed.
pub(crate) fn execute(db: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(params)
}
