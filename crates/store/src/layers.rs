//! Frozen layers of disks, counted: who needs which.

use std::collections::{BTreeMap, BTreeSet};

use banger_api::LayerId;
use rusqlite::{Connection, params};

use crate::StoreError;
use crate::statement::execute;

/// Makes `owner` a user of these layers and of no others.
pub(crate) fn set_users(
    db: &Connection,
    owner: &str,
    layers: &[LayerId],
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached("SELECT layer FROM layer_users WHERE owner = ?1")?;
    let rows = statement.query_map([owner], |row| row.get::<_, String>(0))?;
    let present: BTreeSet<String> = rows.collect::<Result<_, _>>()?;
    let wanted: BTreeSet<String> = layers.iter().map(ToString::to_string).collect();
    for gone in present.difference(&wanted) {
        let sql = "DELETE FROM layer_users WHERE layer = ?1 AND owner = ?2";
        execute(db, sql, params![gone, owner])?;
    }
    for new in wanted.difference(&present) {
        let sql = "INSERT INTO layer_users (layer, owner) VALUES (?1, ?2)";
        execute(db, sql, params![new, owner])?;
    }
    Ok(())
}

/// Tells whether anybody needs a layer.
///
/// # Errors
/// Only the database's.
pub fn is_used(db: &Connection, layer: LayerId) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM layer_users WHERE layer = ?1")?;
    Ok(statement.exists([layer.to_string()])?)
}

/// The layers that anybody needs, by id as it is stored, each with one of its users.
///
/// # Errors
/// Only the database's.
pub fn used(db: &Connection) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT layer, owner FROM layer_users")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
