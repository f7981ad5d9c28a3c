//! Secrets that this user keeps: one file of 0600 for each, in a folder of 0700.
//!
//! ```text
//! state/secrets/openai     "banger secret 1\n" and the value
//! state/secrets/openai.new one that is being written; no name has a dot
//! ```
//!
//! A value is read when a network process needs it, and wiped from this process's memory after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode, Timestamp};
use banger_secret::{SecretName, SecretValue, VALUE_MAX_BYTES};
use zeroize::Zeroizing;

/// The first line of a file; its number is the version of the form.
const BEGIN: &[u8] = b"banger secret 1\n";
/// Most secrets.
const SECRETS_MAX: usize = 1000;

/// The kept secrets.
#[derive(Debug, Clone)]
pub(crate) struct Shelf(PathBuf);

/// A secret that is kept, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) name: SecretName,
    pub(crate) updated_at: Timestamp,
}

impl Shelf {
    /// Those in this folder, which is this user's alone.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, name: &SecretName) -> PathBuf {
        self.0.join(name.as_str())
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<Kept>, ApiError> {
        let failed = |error| file_error("read", &self.0, &error);
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(Ok(name)) = name.to_str().map(str::parse::<SecretName>) else {
                continue;
            };
            let found = entry.metadata();
            let found = found.map_err(|error| file_error("read", &entry.path(), &error))?;
            let changed_ms = found.mtime().saturating_mul(1000);
            kept.push(Kept {
                name,
                updated_at: Timestamp::from_millisecond(changed_ms).unwrap_or_default(),
            });
        }
        kept.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(kept)
    }

    /// One of them; `None`: it is not kept.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub(crate) fn find(&self, name: &SecretName) -> Result<Option<Kept>, ApiError> {
        let all = self.list()?;
        Ok(all.into_iter().find(|kept| kept.name == *name))
    }

    /// The value of one of them; `None`: it is not kept.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(crate) fn value(&self, name: &SecretName) -> Result<Option<SecretValue>, ApiError> {
        let path = self.path(name);
        let failed = |error| file_error("read", &path, &error);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // Of its whole size from the beginning: one that grows leaves copies behind.
        let most = BEGIN.len() + VALUE_MAX_BYTES;
        let mut bytes = Zeroizing::new(vec![0; most + 1]);
        let mut length = 0;
        while length < bytes.len() {
            match file.read(&mut bytes[length..]).map_err(failed)? {
                0 => break,
                count => length += count,
            }
        }
        let damaged = |why: String| {
            let message = format!(
                "secret \"{name}\" in {} cannot be read: {why}",
                path.display()
            );
            ApiError::new(ErrorCode::Internal, message)
                .hint(format!("banger secret set {name} writes it anew"))
        };
        let Some(value) = bytes[..length].strip_prefix(BEGIN) else {
            return Err(damaged("it is of another form".to_owned()));
        };
        let value = SecretValue::new(Zeroizing::new(value.to_vec()));
        value.map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Keeps a value, in the place of an earlier one. It appears whole or not at all, and lasts.
    ///
    /// # Errors
    /// There are too many, or it cannot be written.
    pub(crate) fn set(&self, name: &SecretName, value: &SecretValue) -> Result<Kept, ApiError> {
        let all = self.list()?;
        if all.len() >= SECRETS_MAX && all.iter().all(|kept| kept.name != *name) {
            let message = format!("{SECRETS_MAX} secrets are kept already, which is the most");
            return Err(ApiError::new(ErrorCode::InvalidArgument, message)
                .hint("banger secret delete NAME removes one"));
        }
        let (path, new) = (self.path(name), self.0.join(format!("{name}.new")));
        let written = forgotten(&new).and_then(|()| {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(BEGIN)?;
            file.write_all(value.expose())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            banger_durable::sync_folder(&self.0)
        });
        written.map_err(|error| file_error("write", &path, &error))?;
        self.find(name)?.ok_or_else(|| unknown(name))
    }

    /// Forgets one.
    ///
    /// # Errors
    /// `not_found`; it cannot be removed.
    pub(crate) fn delete(&self, name: &SecretName) -> Result<Kept, ApiError> {
        let kept = self.find(name)?.ok_or_else(|| unknown(name))?;
        let path = self.path(name);
        let removed = fs::remove_file(&path).and_then(|()| banger_durable::sync_folder(&self.0));
        removed.map_err(|error| file_error("remove", &path, &error))?;
        Ok(kept)
    }

    /// Removes what a write that was cut off has left.
    ///
    /// # Errors
    /// The folder cannot be read, or a file not removed.
    pub(crate) fn clean(&self) -> Result<(), ApiError> {
        let failed = |error| file_error("clean", &self.0, &error);
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == "new") {
                forgotten(&path).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn forgotten(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unknown(name: &SecretName) -> ApiError {
    let message = format!("there is no secret \"{name}\"");
    ApiError::new(ErrorCode::NotFound, message).hint("banger secret list shows all")
}

fn file_error(what: &str, path: &Path, error: &io::Error) -> ApiError {
    let message = format!("cannot {what} {}: {error}", path.display());
    ApiError::new(ErrorCode::Internal, message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn value(text: &str) -> SecretValue {
        SecretValue::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn a_secret_is_a_file_of_its_user_alone_and_lasts_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned());
        let name: SecretName = "openai".parse().unwrap();
        assert_eq!(shelf.value(&name).unwrap(), None);
        shelf.set(&name, &value("one")).unwrap();
        shelf.set(&name, &value("two")).unwrap();
        // The form that later builds read.
        let path = folder.path().join("openai");
        assert_eq!(fs::read(&path).unwrap(), b"banger secret 1\ntwo");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(shelf.value(&name).unwrap(), Some(value("two")));
        assert_eq!(shelf.list().unwrap().len(), 1);
        shelf.delete(&name).unwrap();
        let error = shelf.delete(&name).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_is_removed_and_what_is_none_is_told_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned());
        fs::write(folder.path().join("a.new"), b"half").unwrap();
        fs::write(folder.path().join("b"), b"banger secret 9\nx").unwrap();
        shelf.clean().unwrap();
        assert!(!folder.path().join("a.new").exists());
        for bytes in [
            &b"banger secret 9\nx"[..],
            b"",
            b"banger secret 1\n",
            b"banger secret 1\na\nb",
        ] {
            fs::write(folder.path().join("b"), bytes).unwrap();
            let error = shelf.value(&"b".parse().unwrap()).unwrap_err();
            assert!(error.message.contains("secret \"b\""), "{error}");
        }
        let long = [BEGIN, &[b'a'; VALUE_MAX_BYTES + 1]].concat();
        fs::write(folder.path().join("b"), long).unwrap();
        assert!(shelf.value(&"b".parse().unwrap()).is_err());
    }
}
