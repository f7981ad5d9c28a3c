//! SSH keys: banger's own, which may log in everywhere, and one host key for each VM.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use banger_api::{ApiError, ErrorCode};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

fn failed(path: &Path, error: impl std::fmt::Display) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("SSH key {}: {error}", path.display()),
    )
}

/// Makes an ed25519 key pair: `path` (0600) and `path.pub`. What is there is replaced.
pub(crate) fn make(path: &Path, comment: &str) -> Result<(), ApiError> {
    let mut key =
        PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(|error| failed(path, error))?;
    key.set_comment(comment);
    let private = key
        .to_openssh(LineEnding::LF)
        .map_err(|error| failed(path, error))?;
    let public = key
        .public_key()
        .to_openssh()
        .map_err(|error| failed(path, error))?;
    write(path, private.as_bytes(), 0o600)?;
    write(
        &path.with_extension("pub"),
        format!("{public}\n").as_bytes(),
        0o644,
    )
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ApiError> {
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(path)?;
        file.write_all(bytes)
    };
    write().map_err(|error| super::host::file_error("write", path, &error))
}

/// A key pair's private half as it is in its file, and the public half computed from it.
pub(crate) fn read(path: &Path) -> Result<(String, String), ApiError> {
    let private = fs::read_to_string(path).map_err(|error| failed(path, error))?;
    let key = PrivateKey::from_openssh(&private).map_err(|error| failed(path, error))?;
    let public = key
        .public_key()
        .to_openssh()
        .map_err(|error| failed(path, error))?;
    Ok((private, public))
}

/// The public half of banger's own key, made at first use in `dir`; of the user's own key when one is configured.
pub(crate) fn own(dir: &Path, configured: Option<&str>) -> Result<String, ApiError> {
    if let Some(configured) = configured {
        let public = Path::new(configured).with_extension("pub");
        return fs::read_to_string(&public)
            .map(|text| text.trim().to_owned())
            .map_err(|error| failed(&public, error));
    }
    let path = dir.join("id_ed25519");
    if !path.exists() {
        // Beside first: a crash between the two files must not leave half a pair under the real name.
        let fresh = dir.join("id_ed25519.new");
        make(&fresh, "banger")?;
        let moved = fs::rename(fresh.with_extension("pub"), dir.join("id_ed25519.pub"))
            .and_then(|()| fs::rename(&fresh, &path));
        moved.map_err(|error| failed(&path, error))?;
    }
    read(&path).map(|(_, public)| public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banger_makes_its_key_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = own(dir.path(), None).unwrap();
        assert!(first.starts_with("ssh-ed25519 "), "{first}");
        assert_eq!(own(dir.path(), None).unwrap(), first);
        assert!(dir.path().join("id_ed25519.pub").exists());
    }
}
