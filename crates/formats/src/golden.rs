//! The golden files of one crate.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Drift;
use crate::drift::compare;

/// Names the version whose missing files are written.
const WRITE: &str = "BANGER_NEW_FORMAT";

/// The golden files of one crate.
#[derive(Debug, Clone)]
pub struct Golden {
    folder: PathBuf,
    write: Option<u32>,
}

impl Golden {
    /// Those of the crate with this folder: `env!("CARGO_MANIFEST_DIR")`.
    #[must_use]
    pub fn of(manifest_dir: &str) -> Self {
        let write = std::env::var(WRITE).ok();
        Self {
            folder: Path::new(manifest_dir).join("formats"),
            write: write.and_then(|version| version.parse().ok()),
        }
    }

    /// Compares an example with the newest golden file of this name.
    ///
    /// # Errors
    /// The form is another one, or the example does not show all of it.
    ///
    /// # Panics
    /// A golden file cannot be read or written.
    pub fn holds(&self, name: &str, example: &impl Serialize) -> Result<(), Drift> {
        let example = match serde_json::to_value(example) {
            Ok(value) => value,
            Err(error) => panic!("{name}: the example cannot be written: {error}"),
        };
        let newest = self.versions(name).last().copied();
        let golden: Option<Value> = newest.map(|version| self.read(version, name));
        let outcome = compare(golden.as_ref(), &example);
        match (&outcome, self.write) {
            (Err(Drift::Absent | Drift::Changed { .. }), Some(version))
                if newest < Some(version) =>
            {
                self.write(version, name, &example);
                Ok(())
            }
            _ => outcome,
        }
    }

    /// The versions that have a golden file of this name, oldest first.
    #[must_use]
    pub fn versions(&self, name: &str) -> Vec<u32> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut versions: Vec<u32> = entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix('v')?.parse().ok())
            .filter(|version| self.path(*version, name).exists())
            .collect();
        versions.sort_unstable();
        versions
    }

    /// Reads the text of an older build as a type of today.
    ///
    /// # Panics
    /// It cannot be read: then a state folder of that build cannot be either.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self, version: u32, name: &str) -> T {
        let text = self.text(version, name);
        match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => panic!("formats/v{version}/{name} is not read any more: {error}"),
        }
    }

    /// The text of a golden file.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn text(&self, version: u32, name: &str) -> String {
        let path = self.path(version, name);
        match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Path of a golden file.
    #[must_use]
    pub fn path(&self, version: u32, name: &str) -> PathBuf {
        self.folder.join(format!("v{version}")).join(name)
    }

    fn write(&self, version: u32, name: &str, example: &Value) {
        let path = self.path(version, name);
        let folder = path.parent().unwrap_or(&self.folder);
        let written = serde_json::to_string_pretty(example)
            .map_err(std::io::Error::other)
            .and_then(|text| {
                fs::create_dir_all(folder)?;
                fs::write(&path, text + "\n")
            });
        if let Err(error) = written {
            panic!("{}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        name: String,
        #[serde(default)]
        size: u32,
    }

    fn golden(folder: &Path, write: Option<u32>) -> Golden {
        Golden {
            folder: folder.to_owned(),
            write,
        }
    }

    #[test]
    fn a_changed_type_fails_until_a_new_version_is_written_and_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let old = Old {
            name: "a".to_owned(),
        };
        let new = New {
            name: "a".to_owned(),
            size: 3,
        };
        golden(folder.path(), Some(1))
            .holds("hat.json", &old)
            .unwrap();
        let plain = golden(folder.path(), None);
        assert_eq!(plain.holds("hat.json", &old), Ok(()));
        let drift = plain.holds("hat.json", &new).unwrap_err();
        assert!(drift.to_string().contains("/size"), "{drift}");
        // The version that exists is never written over.
        assert_eq!(
            golden(folder.path(), Some(1)).holds("hat.json", &new),
            Err(drift)
        );
        golden(folder.path(), Some(2))
            .holds("hat.json", &new)
            .unwrap();
        assert_eq!(plain.holds("hat.json", &new), Ok(()));
        assert_eq!(plain.versions("hat.json"), [1, 2]);
        let read: New = plain.read(1, "hat.json");
        assert_eq!(
            read,
            New {
                name: "a".to_owned(),
                size: 0
            }
        );
    }

    #[test]
    #[should_panic(expected = "is not read any more")]
    fn an_old_form_that_is_not_read_fails() {
        let folder = tempfile::tempdir().unwrap();
        golden(folder.path(), Some(1))
            .holds("hat.json", &3)
            .unwrap();
        let _: Old = golden(folder.path(), None).read(1, "hat.json");
    }
}
