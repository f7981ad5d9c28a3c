//! The stored form of a record: JSON in a row, whose version is a column of its own.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::StoreError;

/// A record that is stored as JSON.
pub(crate) trait Form: Serialize + DeserializeOwned {
    /// Its kind, for people.
    const WHAT: &'static str;
    /// Version that this build writes. Older ones are read, newer ones are refused.
    const VERSION: u32;

    /// Brings what an older version wrote to today's meaning.
    fn brought_forward(&mut self, _version: u32) {}
}

/// The JSON of a record.
pub(crate) fn write<T: Form>(record: &T) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|source| StoreError::Unwritable {
        what: T::WHAT,
        source,
    })
}

/// A record from its row; why not, in words, when it cannot be read.
pub(crate) fn read<T: Form>(version: i64, json: &str) -> Result<T, String> {
    let newest = T::VERSION;
    let version = match u32::try_from(version) {
        Ok(version) if version <= newest => version,
        _ => {
            return Err(format!(
                "its version is {version}, and {newest} is the newest that this banger knows"
            ));
        }
    };
    let mut record: T = serde_json::from_str(json).map_err(|error| error.to_string())?;
    record.brought_forward(version);
    Ok(record)
}

/// Reads what of a damaged record can still be read, field by field.
#[derive(Debug)]
pub(crate) struct Salvage(Value);

impl Salvage {
    pub(crate) fn of(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or(Value::Null))
    }

    /// One field, when it is there and of its type.
    pub(crate) fn field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(self.0.get(name)?.clone()).ok()
    }
}
