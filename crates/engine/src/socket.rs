//! Unix sockets whose paths may be longer than `sun_path` (108 bytes, unix(7)), and who is behind them.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::EngineError;

/// Connects to the Unix socket at `path`, of any length: through `/proc/self/fd/N/NAME` of its opened folder.
///
/// # Errors
/// [`EngineError::Io`] naming the path, also when the file name alone is too long.
pub fn connect(path: &Path) -> Result<UnixStream, EngineError> {
    let failed = || format!("connect to {}", path.display());
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().ok_or_else(|| EngineError::Invalid {
        field: "socket",
        value: path.display().to_string(),
        reason: "names no file".to_owned(),
    })?;
    let dir = rustix::fs::open(
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(EngineError::io(failed()))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    UnixStream::connect(short).map_err(EngineError::io(failed()))
}

/// The pid of the process that listens at the other end, as the kernel recorded it (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// When the kernel does not say.
pub fn peer_pid(stream: &UnixStream) -> Result<u32, EngineError> {
    let credentials = rustix::net::sockopt::socket_peercred(stream)
        .map_err(EngineError::io("ask for the peer of a Unix socket"))?;
    Ok(credentials.pid.as_raw_pid().unsigned_abs())
}
