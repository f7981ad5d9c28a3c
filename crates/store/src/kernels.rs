//! Kernels: a name for a directory of files that is itself named by its digest.

use banger_api::KernelName;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::is_unique;

/// One kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// Its name.
    pub name: KernelName,
    /// Digest of its content, 64 hex digits: also the name of its directory.
    pub digest: String,
    /// Where it came from.
    pub source: String,
    /// The kernel's own version string.
    pub version: String,
    /// Size of the uncompressed image in bytes.
    pub image_bytes: u64,
    /// Modules loaded at boot, in order.
    pub modules: Vec<String>,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
}

/// Adds a kernel.
///
/// # Errors
/// [`StoreError::NameTaken`].
pub fn insert(db: &Connection, kernel: &KernelRecord) -> Result<(), StoreError> {
    let record = serde_json::to_string(kernel).map_err(|source| StoreError::Damaged {
        what: "a kernel",
        source,
    })?;
    db.execute(
        "INSERT INTO kernels (name, digest, record) VALUES (?1, ?2, ?3)",
        params![kernel.name.as_str(), kernel.digest, record],
    )
    .map_err(|error| match is_unique(&error) {
        true => StoreError::NameTaken {
            what: "kernel",
            name: kernel.name.to_string(),
        },
        false => error.into(),
    })?;
    Ok(())
}

/// Removes a kernel's name. `false`: there was none.
///
/// # Errors
/// Only the database's.
pub fn delete(db: &Connection, name: &KernelName) -> Result<bool, StoreError> {
    Ok(db.execute(
        "DELETE FROM kernels WHERE name = ?1",
        params![name.as_str()],
    )? > 0)
}

/// Whether a name stands for the files with this digest.
///
/// # Errors
/// Only the database's.
pub fn is_named(db: &Connection, digest: &str) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM kernels WHERE digest = ?1")?;
    Ok(statement.exists([digest])?)
}

/// The kernel with this name.
///
/// # Errors
/// The database's, and [`StoreError::Damaged`].
pub fn by_name(db: &Connection, name: &str) -> Result<Option<KernelRecord>, StoreError> {
    db.query_row(
        "SELECT record FROM kernels WHERE name = ?1",
        params![name],
        |row| row.get::<_, String>(0),
    )
    .optional()?
    .map(|text| parse(&text))
    .transpose()
}

/// All kernels by name.
///
/// # Errors
/// The database's, and [`StoreError::Damaged`].
pub fn list(db: &Connection) -> Result<Vec<KernelRecord>, StoreError> {
    let mut statement = db.prepare_cached("SELECT record FROM kernels ORDER BY name")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|row| parse(&row?)).collect()
}

fn parse(text: &str) -> Result<KernelRecord, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Damaged {
        what: "a kernel",
        source,
    })
}
