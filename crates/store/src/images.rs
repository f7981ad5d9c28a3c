//! Images: a name for a directory of files that is itself named by its digest.

use banger_api::ImageName;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::is_unique;

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its name.
    pub name: ImageName,
    /// Digest of its content, 64 hex digits: also the name of its directory.
    pub digest: String,
    /// Where it came from.
    pub source: String,
    /// The init system in it.
    pub init: String,
    /// Size of the base in bytes.
    pub base_bytes: u64,
    /// Size of the work seed's file system in bytes.
    pub seed_bytes: Option<u64>,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Its name was given to newer files: it is there for the VMs that are made from it, and goes with the last of them.
    #[serde(default)]
    pub superseded: bool,
}

/// Adds an image.
///
/// # Errors
/// [`StoreError::NameTaken`].
pub fn insert(db: &Connection, image: &ImageRecord) -> Result<(), StoreError> {
    let record = serde_json::to_string(image).map_err(|source| StoreError::Damaged {
        what: "an image",
        source,
    })?;
    db.execute(
        "INSERT INTO images (name, digest, record) VALUES (?1, ?2, ?3)",
        params![image.name.as_str(), image.digest, record],
    )
    .map_err(|error| match is_unique(&error) {
        true => StoreError::NameTaken {
            what: "image",
            name: image.name.to_string(),
        },
        false => error.into(),
    })?;
    Ok(())
}

/// Removes an image's name. `false`: there was none.
///
/// # Errors
/// Only the database's.
pub fn delete(db: &Connection, name: &ImageName) -> Result<bool, StoreError> {
    Ok(db.execute("DELETE FROM images WHERE name = ?1", params![name.as_str()])? > 0)
}

/// Gives an image another name: it is wanted by it from then on. `false`: there is none of the old one.
///
/// # Errors
/// [`StoreError::NameTaken`].
pub fn rename(db: &Connection, from: &ImageName, to: &ImageName) -> Result<bool, StoreError> {
    let Some(mut image) = by_name(db, from.as_str())? else {
        return Ok(false);
    };
    delete(db, from)?;
    image.name = to.clone();
    image.superseded = false;
    insert(db, &image)?;
    Ok(true)
}

/// Whether a name stands for the files with this digest.
///
/// # Errors
/// Only the database's.
pub fn is_named(db: &Connection, digest: &str) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM images WHERE digest = ?1")?;
    Ok(statement.exists([digest])?)
}

/// The image with this name.
///
/// # Errors
/// The database's, and [`StoreError::Damaged`].
pub fn by_name(db: &Connection, name: &str) -> Result<Option<ImageRecord>, StoreError> {
    db.query_row(
        "SELECT record FROM images WHERE name = ?1",
        params![name],
        |row| row.get::<_, String>(0),
    )
    .optional()?
    .map(|text| parse(&text))
    .transpose()
}

/// All images by name.
///
/// # Errors
/// The database's, and [`StoreError::Damaged`].
pub fn list(db: &Connection) -> Result<Vec<ImageRecord>, StoreError> {
    let mut statement = db.prepare_cached("SELECT record FROM images ORDER BY name")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|row| parse(&row?)).collect()
}

fn parse(text: &str) -> Result<ImageRecord, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Damaged {
        what: "an image",
        source,
    })
}
