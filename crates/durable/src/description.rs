//! A folder's description of itself, in JSON of a numbered format.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::write::{sync_folder, write_new};

/// Longest description that is read, bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A folder's description of itself. It is written last: a folder without it is not whole.
pub trait Description: Serialize + DeserializeOwned {
    /// Its name in the folder.
    const FILE: &'static str;
    /// Version of the format that this code writes. Older ones are read; newer ones are refused.
    const FORMAT: u32;

    /// The version that it has.
    fn format(&self) -> u32;
}

/// Failure to read or write a folder's description.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// There is none.
    #[error("{}: there is no such file", path.display())]
    Absent {
        /// Its expected path.
        path: PathBuf,
    },
    /// It is of a format that is not known yet.
    #[error("{}: its format {format} is newer than this banger's {newest}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest that is known.
        newest: u32,
    },
    /// It is longer than any.
    #[error("{} is larger than the limit of {MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It, or its folder, cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The action that failed: `read`, `write`, `sync`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It is no JSON of its form.
    #[error("cannot parse {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> DescriptionError {
    DescriptionError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

/// Reads a folder's description of itself.
///
/// # Errors
/// It is absent, or cannot be understood.
pub fn read_description<D: Description>(folder: &Path) -> Result<D, DescriptionError> {
    let path = folder.join(D::FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DescriptionError::Absent { path });
        }
        opened => opened.map_err(|source| failed("read", &path, source))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| failed("read", &path, source))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DescriptionError::TooLarge { path });
    }
    let description: D = match serde_json::from_slice(&bytes) {
        Ok(description) => description,
        Err(source) => return Err(DescriptionError::Json { path, source }),
    };
    let (format, newest) = (description.format(), D::FORMAT);
    if format > newest {
        return Err(DescriptionError::Newer {
            path,
            format,
            newest,
        });
    }
    Ok(description)
}

/// Writes a folder's description of itself after the files that it names, which are complete. After this call all
/// their names are durable.
///
/// # Errors
/// It is there already, or cannot be written.
pub fn write_description<D: Description>(
    folder: &Path,
    description: &D,
) -> Result<(), DescriptionError> {
    let path = folder.join(D::FILE);
    let json = match serde_json::to_vec_pretty(description) {
        Ok(json) => json,
        Err(source) => return Err(DescriptionError::Json { path, source }),
    };
    let sync = || sync_folder(folder).map_err(|source| failed("sync", folder, source));
    // The other names must last before the one that vouches for them.
    sync()?;
    write_new(&path, &json).map_err(|source| failed("write", &path, source))?;
    sync()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Box {
        format: u32,
        holds: String,
    }

    impl Description for Box {
        const FILE: &'static str = "box.json";
        const FORMAT: u32 = 2;

        fn format(&self) -> u32 {
            self.format
        }
    }

    fn refused(folder: &Path) -> String {
        let told = read_description::<Box>(folder).unwrap_err().to_string();
        told.replace(&folder.display().to_string(), "")
    }

    #[test]
    fn a_description_is_read_as_it_was_written_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(refused(folder.path()), "/box.json: there is no such file");
        let format = 2;
        let holds = "a hat".to_owned();
        let hat = Box { format, holds };
        write_description(folder.path(), &hat).unwrap();
        assert_eq!(read_description::<Box>(folder.path()).unwrap(), hat);
        assert!(write_description(folder.path(), &hat).is_err());
    }

    #[test]
    fn what_is_newer_broken_or_endless_is_refused() {
        for (text, told) in [
            (
                r#"{"format":3,"holds":""}"#.to_owned(),
                "/box.json: its format 3 is newer than this banger's 2",
            ),
            ("{}".to_owned(), "cannot parse /box.json"),
            (
                " ".repeat(5 << 20),
                "/box.json is larger than the limit of 4194304 bytes",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("box.json"), text).unwrap();
            assert_eq!(refused(folder.path()), told);
        }
    }
}
