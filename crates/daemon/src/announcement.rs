//! The file beside the daemon's lock that says where the daemon listens: `state/daemon.json`.
//!
//! The lock is one for each state folder; the socket's place depends on `XDG_RUNTIME_DIR`, which cron, `su` and units
//! of systemd do not have. So whoever knows the state folder finds the daemon here, whatever its own environment says.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The form that this build writes.
const VERSION: u32 = 1;
/// Most bytes that are read: a path has at most 4096.
const MAX_BYTES: u64 = 64 * 1024;

/// Socket of a daemon, and its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    version: u32,
    socket: StoredPath,
    /// Its process.
    pub pid: u32,
    /// Its build.
    pub build: String,
}

/// JSON has no bytes that are not text, a path may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPath {
    Text(String),
    Bytes(Vec<u8>),
}

impl Announcement {
    /// Of this process, which listens at `socket`.
    pub(crate) fn own(socket: &Path) -> Self {
        let stored = match socket.to_str() {
            Some(text) => StoredPath::Text(text.to_owned()),
            None => StoredPath::Bytes(socket.as_os_str().as_bytes().to_vec()),
        };
        Self {
            version: VERSION,
            socket: stored,
            pid: std::process::id(),
            build: crate::build_id().to_owned(),
        }
    }

    /// Path of the daemon's socket.
    pub fn socket(&self) -> PathBuf {
        match &self.socket {
            StoredPath::Text(text) => text.into(),
            StoredPath::Bytes(bytes) => OsString::from_vec(bytes.clone()).into(),
        }
    }

    /// The announcement at `path`. `None`: no daemon runs, it is an older build, or it is going down.
    ///
    /// # Errors
    /// It cannot be read, or is no announcement.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_BYTES), &mut bytes)?;
        Ok(Some(serde_json::from_slice(&bytes)?))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("json.new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&new, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_also_with_a_path_that_is_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        assert_eq!(Announcement::read(&path).unwrap(), None);
        for socket in [
            Path::new("/s"),
            Path::new(std::ffi::OsStr::from_bytes(b"/\xff")),
        ] {
            let own = Announcement::own(socket);
            own.write(&path).unwrap();
            let read = Announcement::read(&path).unwrap().unwrap();
            assert_eq!(read, own);
            assert_eq!(read.socket(), socket);
        }
    }

    #[test]
    fn fields_of_newer_builds_are_passed_over_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        let newer = r#"{"version":2,"socket":"/s","pid":7,"build":"b","more":[1]}"#;
        fs::write(&path, newer).unwrap();
        assert_eq!(Announcement::read(&path).unwrap().unwrap().pid, 7);
        fs::write(&path, &newer[..20]).unwrap();
        assert!(Announcement::read(&path).is_err());
    }
}
