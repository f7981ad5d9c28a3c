//! The process that holds the lock of a state folder, also one of a build that announces itself nowhere.
//!
//! ```text
//! daemon.json ──► socket, pid, build
//!    │ absent
//! /proc/locks ──► pid ──► its environment ──► the socket that it listens at
//! ```

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode};

use crate::announcement::Announcement;
use crate::paths::Paths;

/// The daemon of a state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Path of its socket. `None`: it has none, because it starts or goes down.
    pub socket: Option<PathBuf>,
    /// Its build, when it has announced it.
    pub build: Option<String>,
}

impl Holder {
    /// The daemon of this state folder, if its lock is held.
    ///
    /// # Errors
    /// Its announcement cannot be read.
    pub fn find(paths: &Paths) -> Result<Option<Self>, ApiError> {
        let announced = announced(paths)?;
        let Some(pid) = process(&paths.lock()) else {
            return Ok(None);
        };
        // One that was killed has left its announcement behind.
        if let Some(announced) = announced.filter(|announced| announced.pid == pid) {
            return Ok(Some(Self {
                pid,
                socket: Some(announced.socket()),
                build: Some(announced.build),
            }));
        }
        let socket = places(pid)
            .filter(|theirs| theirs.state() == paths.state())
            .map(|theirs| theirs.socket())
            .filter(|socket| socket.exists());
        Ok(Some(Self {
            pid,
            socket,
            build: None,
        }))
    }

    /// It has a socket, and somebody listens there.
    pub(crate) fn listens(&self) -> bool {
        self.socket.as_deref().is_some_and(|socket| {
            banger_socket::connect(socket, std::time::Duration::from_secs(2)).is_ok()
        })
    }
}

/// The announcement of this state folder's daemon.
///
/// # Errors
/// It cannot be read, or is no announcement.
pub fn announced(paths: &Paths) -> Result<Option<Announcement>, ApiError> {
    let path = paths.announcement();
    Announcement::read(&path).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorCode::HostNotReady,
            _ => ErrorCode::Internal,
        };
        let message = format!("cannot read {}: {error}", path.display());
        match code {
            ErrorCode::HostNotReady => ApiError::new(code, message),
            _ => ApiError::new(code, message).hint("it only says where the daemon listens: remove it, and the next start of the daemon writes it anew"),
        }
    })
}

/// The process that holds a lock of flock(2) on this file: the kernel lists them in `/proc/locks` (proc(5)).
fn process(lock: &Path) -> Option<u32> {
    let file = fs::metadata(lock).ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`. The device may be another one than stat(2) says (overlayfs,
    // btrfs), so that the process's own descriptors decide.
    let holders = locks.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (kind, pid, place) = (words.get(1)?, words.get(4)?, words.get(5)?);
        let inode = place.rsplit(':').next()?.parse::<u64>().ok()?;
        let pid = pid.parse::<u32>().ok()?;
        (*kind == "FLOCK" && inode == file.ino()).then_some(pid)
    });
    let has_it_open = |pid: &u32| {
        fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| fs::metadata(entry.path()).ok())
            .any(|open| open.ino() == file.ino() && open.dev() == file.dev())
    };
    holders.into_iter().find(has_it_open)
}

/// The places that a process uses, from the environment with which it was started.
fn places(pid: u32) -> Option<Paths> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variables: HashMap<OsString, OsString> = environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            let at = variable.iter().position(|byte| *byte == b'=')?;
            let value = OsString::from_vec(variable.get(at + 1..)?.to_vec());
            let name = std::ffi::OsStr::from_bytes(variable.get(..at)?).to_owned();
            (!value.is_empty()).then_some((name, value))
        })
        .collect();
    Paths::from_vars(&|name| variables.get(std::ffi::OsStr::new(name)).cloned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(folder: &Path) -> Paths {
        let home = folder.as_os_str().to_owned();
        let paths =
            Paths::from_vars(&|name| (name == "BANGER_HOME").then(|| home.clone())).unwrap();
        fs::create_dir_all(paths.state()).unwrap();
        paths
    }

    #[test]
    fn the_process_that_holds_the_lock_is_found_and_nobody_when_it_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let paths = home(folder.path());
        let file = fs::File::create(paths.lock()).unwrap();
        assert_eq!(Holder::find(&paths).unwrap(), None);
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let holder = Holder::find(&paths).unwrap().unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(holder.build, None);
        assert!(!holder.listens());
    }

    #[test]
    fn what_a_killed_daemon_announced_is_not_its_successor_s() {
        let folder = tempfile::tempdir().unwrap();
        let paths = home(folder.path());
        Announcement::own(&paths.socket())
            .write(&paths.announcement())
            .unwrap();
        assert_eq!(Holder::find(&paths).unwrap(), None, "nobody holds the lock");
        fs::write(
            paths.announcement(),
            r#"{"version":1,"socket":"/s","pid":1,"build":"b"}"#,
        )
        .unwrap();
        let file = fs::File::create(paths.lock()).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let holder = Holder::find(&paths).unwrap().unwrap();
        assert_eq!((holder.pid, holder.build), (std::process::id(), None));
    }
}
