//! Kernels: a name for a directory of files that is itself named by its digest.

use banger_api::{ContentDigest, KernelName};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::is_unique;
use crate::form::{self, Form, Salvage};
use crate::statement::execute;

/// One kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// Its name.
    pub name: KernelName,
    /// Digest of its content, 64 hex digits: also the name of its directory.
    pub digest: ContentDigest,
    /// Origin.
    pub source: String,
    /// The kernel's own version string.
    pub version: String,
    /// Size of the uncompressed image in bytes.
    pub image_bytes: u64,
    /// Modules loaded at boot, in order.
    pub modules: Vec<String>,
    /// True when it was taken from the root of a VM: it goes with the last VM that boots it.
    #[serde(default)]
    pub of_root: bool,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Damage of its row: then this holds what of it still can be read.
    #[serde(skip)]
    pub damage: Option<String>,
}

impl Form for KernelRecord {
    const WHAT: &'static str = "kernel";
    const VERSION: u32 = 1;
}

/// Adds a kernel.
///
/// # Errors
/// [`StoreError::NameTaken`].
pub fn insert(db: &Connection, kernel: &KernelRecord) -> Result<(), StoreError> {
    if let Some(why) = &kernel.damage {
        return Err(damaged(kernel.name.as_str(), why));
    }
    let (record, version) = (form::write(kernel)?, KernelRecord::VERSION);
    execute(
        db,
        "INSERT INTO kernels (name, digest, record, version) VALUES (?1, ?2, ?3, ?4)",
        params![
            kernel.name.as_str(),
            kernel.digest.to_string(),
            record,
            version
        ],
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
    Ok(execute(
        db,
        "DELETE FROM kernels WHERE name = ?1",
        params![name.as_str()],
    )? > 0)
}

/// Tells whether a name stands for the files with this digest.
///
/// # Errors
/// Only the database's.
pub fn is_named(db: &Connection, digest: &ContentDigest) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM kernels WHERE digest = ?1")?;
    Ok(statement.exists([digest.to_string()])?)
}

/// The kernel with this name, damaged or not: see [`KernelRecord::damage`].
///
/// # Errors
/// Only the database's.
pub fn by_name(db: &Connection, name: &str) -> Result<Option<KernelRecord>, StoreError> {
    let sql = "SELECT name, digest, record, version FROM kernels WHERE name = ?1";
    Ok(db.query_row(sql, params![name], of_row).optional()?)
}

/// All kernels by name, the damaged ones among them.
///
/// # Errors
/// Only the database's.
pub fn list(db: &Connection) -> Result<Vec<KernelRecord>, StoreError> {
    let sql = "SELECT name, digest, record, version FROM kernels ORDER BY name";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([], of_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<KernelRecord> {
    let (name, digest): (String, String) = (row.get(0)?, row.get(1)?);
    let (json, version): (String, i64) = (row.get(2)?, row.get(3)?);
    let why = match form::read::<KernelRecord>(version, &json) {
        Ok(record) if record.name.as_str() == name && record.digest.to_string() == digest => {
            return Ok(record);
        }
        Ok(_) => "it names another kernel".to_owned(),
        Err(why) => why,
    };
    let salvage = Salvage::of(&json);
    Ok(KernelRecord {
        name: name
            .parse()
            .unwrap_or_else(|_invalid| KernelName::unreadable()),
        digest: digest.parse().unwrap_or(ContentDigest::UNKNOWN),
        source: salvage.field("source").unwrap_or_default(),
        version: salvage.field("version").unwrap_or_default(),
        image_bytes: salvage.field("image_bytes").unwrap_or(0),
        modules: salvage.field("modules").unwrap_or_default(),
        of_root: salvage.field("of_root").unwrap_or_default(),
        created_ms: salvage.field("created_ms").unwrap_or(0),
        damage: Some(why),
    })
}

fn damaged(name: &str, why: &str) -> StoreError {
    StoreError::Damaged {
        what: KernelRecord::WHAT,
        name: name.to_owned(),
        why: why.to_owned(),
    }
}

impl KernelRecord {
    /// Itself, unless its row is damaged.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], which names it.
    pub fn usable(self) -> Result<Self, StoreError> {
        match &self.damage {
            Some(why) => Err(damaged(self.name.as_str(), why)),
            None => Ok(self),
        }
    }
}
