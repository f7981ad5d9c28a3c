//! Images: a name for a directory of files that is itself named by its digest.

use banger_api::{ContentDigest, ImageName};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::error::is_unique;
use crate::form::{self, Form, Salvage};
use crate::statement::execute;

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its name.
    pub name: ImageName,
    /// Digest of its content, 64 hex digits: also the name of its directory.
    pub digest: ContentDigest,
    /// Origin.
    pub source: String,
    /// The init system in it.
    pub init: String,
    /// Size of the base in bytes.
    pub base_bytes: u64,
    /// Size of the work seed's file system in bytes.
    pub seed_bytes: Option<u64>,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Its name was given to newer files: it is there for the VMs that are made from it, and goes with the last of
    /// them.
    #[serde(default)]
    pub superseded: bool,
    /// Damage of its row: then this holds what of it still can be read.
    #[serde(skip)]
    pub damage: Option<String>,
}

impl Form for ImageRecord {
    const WHAT: &'static str = "image";
    const VERSION: u32 = 1;
}

/// Adds an image.
///
/// # Errors
/// [`StoreError::NameTaken`].
pub fn insert(db: &Connection, image: &ImageRecord) -> Result<(), StoreError> {
    if let Some(why) = &image.damage {
        return Err(damaged(image.name.as_str(), why));
    }
    let (record, version) = (form::write(image)?, ImageRecord::VERSION);
    execute(
        db,
        "INSERT INTO images (name, digest, record, version) VALUES (?1, ?2, ?3, ?4)",
        params![
            image.name.as_str(),
            image.digest.to_string(),
            record,
            version
        ],
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
    Ok(execute(
        db,
        "DELETE FROM images WHERE name = ?1",
        params![name.as_str()],
    )? > 0)
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

/// Tells whether a name stands for the files with this digest.
///
/// # Errors
/// Only the database's.
pub fn is_named(db: &Connection, digest: &ContentDigest) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM images WHERE digest = ?1")?;
    Ok(statement.exists([digest.to_string()])?)
}

/// The image with this name, damaged or not: see [`ImageRecord::damage`].
///
/// # Errors
/// Only the database's.
pub fn by_name(db: &Connection, name: &str) -> Result<Option<ImageRecord>, StoreError> {
    let sql = "SELECT name, digest, record, version FROM images WHERE name = ?1";
    Ok(db.query_row(sql, params![name], of_row).optional()?)
}

/// All images by name, the damaged ones among them.
///
/// # Errors
/// Only the database's.
pub fn list(db: &Connection) -> Result<Vec<ImageRecord>, StoreError> {
    let sql = "SELECT name, digest, record, version FROM images ORDER BY name";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([], of_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<ImageRecord> {
    let (name, digest): (String, String) = (row.get(0)?, row.get(1)?);
    let (json, version): (String, i64) = (row.get(2)?, row.get(3)?);
    let why = match form::read::<ImageRecord>(version, &json) {
        Ok(record) if record.name.as_str() == name && record.digest.to_string() == digest => {
            return Ok(record);
        }
        Ok(_) => "it names another image".to_owned(),
        Err(why) => why,
    };
    let salvage = Salvage::of(&json);
    Ok(ImageRecord {
        name: name
            .parse()
            .unwrap_or_else(|_invalid| ImageName::unreadable()),
        digest: digest.parse().unwrap_or(ContentDigest::UNKNOWN),
        source: salvage.field("source").unwrap_or_default(),
        init: salvage.field("init").unwrap_or_default(),
        base_bytes: salvage.field("base_bytes").unwrap_or(0),
        seed_bytes: None,
        created_ms: salvage.field("created_ms").unwrap_or(0),
        superseded: salvage.field("superseded").unwrap_or(false),
        damage: Some(why),
    })
}

fn damaged(name: &str, why: &str) -> StoreError {
    StoreError::Damaged {
        what: ImageRecord::WHAT,
        name: name.to_owned(),
        why: why.to_owned(),
    }
}

impl ImageRecord {
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
