//! Checkpoints: points in the life of a VM's disks.

use banger_api::{CheckpointId, CheckpointName, LayerId, VmId};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use crate::error::is_unique;
use crate::form::{self, Form, Salvage};
use crate::statement::execute;
use crate::{StoreError, layers};

/// One checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Its id.
    pub id: CheckpointId,
    /// Its VM.
    pub vm: VmId,
    /// Its name, unique among its VM's.
    pub name: CheckpointName,
    /// The checkpoint from which the disks had gone on.
    pub parent: Option<CheckpointId>,
    /// The layers that hold the disks, the lowest first.
    pub layers: Vec<LayerId>,
    /// Size of the work disk in bytes.
    pub disk_bytes: u64,
    /// Size of the system overlay in bytes.
    pub overlay_bytes: u64,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Damage of its row: then this holds what of it still can be read.
    #[serde(skip)]
    pub damage: Option<String>,
}

impl Form for CheckpointRecord {
    const WHAT: &'static str = "checkpoint";
    const VERSION: u32 = 1;
}

const COLUMNS: &str = "id, vm, name, record, created_ms, version";

fn user(id: &str) -> String {
    format!("checkpoint:{id}")
}

fn write(db: &Connection, sql: &str, checkpoint: &CheckpointRecord) -> Result<(), StoreError> {
    if let Some(why) = &checkpoint.damage {
        return Err(StoreError::Damaged {
            what: CheckpointRecord::WHAT,
            name: checkpoint.name.to_string(),
            why: why.clone(),
        });
    }
    let id = checkpoint.id.to_string();
    let (record, version) = (form::write(checkpoint)?, CheckpointRecord::VERSION);
    let row = params![
        id,
        checkpoint.vm.to_string(),
        checkpoint.name.as_str(),
        record,
        checkpoint.created_ms,
        version
    ];
    execute(db, sql, row).map_err(|error| match is_unique(&error) {
        true => StoreError::NameTaken {
            what: CheckpointRecord::WHAT,
            name: checkpoint.name.to_string(),
        },
        false => error.into(),
    })?;
    layers::set_users(db, &user(&id), &checkpoint.layers)
}

/// Adds a checkpoint, which becomes a user of its layers.
///
/// # Errors
/// [`StoreError::NameTaken`].
pub fn insert(db: &Connection, checkpoint: &CheckpointRecord) -> Result<(), StoreError> {
    let sql = "INSERT INTO checkpoints (id, vm, name, record, created_ms, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    write(db, sql, checkpoint)
}

/// Removes a checkpoint, which needs its layers no more. Those that had gone on from it are then of its own parent.
///
/// # Errors
/// Only the database's.
pub fn delete(db: &Connection, checkpoint: &CheckpointRecord) -> Result<(), StoreError> {
    for mut child in of_vm(db, checkpoint.vm)? {
        if child.parent == Some(checkpoint.id) && child.damage.is_none() {
            child.parent = checkpoint.parent;
            let sql = "UPDATE checkpoints SET vm = ?2, name = ?3, record = ?4, created_ms = ?5, version = ?6
                 WHERE id = ?1";
            write(db, sql, &child)?;
        }
    }
    let id = checkpoint.id.to_string();
    execute(db, "DELETE FROM checkpoints WHERE id = ?1", params![id])?;
    layers::set_users(db, &user(&id), &[])
}

/// Removes all checkpoints of a VM.
///
/// # Errors
/// Only the database's.
pub fn delete_of_vm(db: &Connection, vm: VmId) -> Result<(), StoreError> {
    for checkpoint in of_vm(db, vm)? {
        let id = checkpoint.id.to_string();
        layers::set_users(db, &user(&id), &[])?;
    }
    let sql = "DELETE FROM checkpoints WHERE vm = ?1";
    execute(db, sql, params![vm.to_string()])?;
    Ok(())
}

/// The checkpoint with this id, damaged or not.
///
/// # Errors
/// Only the database's.
pub fn by_id(db: &Connection, id: CheckpointId) -> Result<Option<CheckpointRecord>, StoreError> {
    Ok(found(db, "WHERE id = ?1", &id.to_string())?.pop())
}

/// The checkpoints of a VM, the oldest first, the damaged ones among them.
///
/// # Errors
/// Only the database's.
pub fn of_vm(db: &Connection, vm: VmId) -> Result<Vec<CheckpointRecord>, StoreError> {
    found(db, "WHERE vm = ?1", &vm.to_string())
}

fn found(db: &Connection, filter: &str, value: &str) -> Result<Vec<CheckpointRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM checkpoints {filter} ORDER BY created_ms, id");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([value], of_row)?;
    let known = rows.filter_map(Result::transpose);
    Ok(known.collect::<Result<_, _>>()?)
}

/// A row; `None` when not even its ids can be read: nothing can refer to it.
fn of_row(row: &Row<'_>) -> rusqlite::Result<Option<CheckpointRecord>> {
    let (id, vm): (String, String) = (row.get(0)?, row.get(1)?);
    let (name, json): (String, String) = (row.get(2)?, row.get(3)?);
    let (created_ms, version): (i64, i64) = (row.get(4)?, row.get(5)?);
    let (Ok(id), Ok(vm)) = (id.parse::<CheckpointId>(), vm.parse::<VmId>()) else {
        return Ok(None);
    };
    let why = match form::read::<CheckpointRecord>(version, &json) {
        Ok(record) if record.id == id && record.vm == vm => return Ok(Some(record)),
        Ok(_) => "it names another checkpoint".to_owned(),
        Err(why) => why,
    };
    let salvage = Salvage::of(&json);
    Ok(Some(CheckpointRecord {
        id,
        vm,
        name: name
            .parse()
            .unwrap_or_else(|_invalid| CheckpointName::unreadable()),
        parent: salvage.field("parent").unwrap_or_default(),
        layers: salvage.field("layers").unwrap_or_default(),
        disk_bytes: salvage.field("disk_bytes").unwrap_or(0),
        overlay_bytes: salvage.field("overlay_bytes").unwrap_or(0),
        created_ms,
        damage: Some(why),
    }))
}
