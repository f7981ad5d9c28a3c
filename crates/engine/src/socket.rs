//! Unix sockets whose paths may be longer than `sun_path` (108 bytes, unix(7)), whose listener may be
//! stopped, and who is behind them.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::EngineError;

/// Connects to the Unix socket at `path`, of any length: through `/proc/self/fd/N/NAME` of its opened folder.
///
/// A listener that does not accept any more (a stopped VMM) fills its backlog, and a plain connect then sleeps for ever:
/// this one fails after `timeout`, which must not be zero. The stream keeps no timeout.
///
/// # Errors
/// [`EngineError::Io`] naming the path, also when the file name alone is too long.
pub fn connect(path: &Path, timeout: Duration) -> Result<UnixStream, EngineError> {
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
    let address = SocketAddrUnix::new(&short).map_err(EngineError::io(failed()))?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(EngineError::io(failed()))?;
    // On a Unix socket the send timeout also bounds connect (socket(7)).
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(timeout))
        .map_err(EngineError::io(failed()))?;
    rustix::net::connect(&socket, &address).map_err(EngineError::io(failed()))?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, None).map_err(EngineError::io(failed()))?;
    Ok(UnixStream::from(socket))
}

/// The pid of the process that listens at the other end, as the kernel recorded it (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// When the kernel does not say.
pub fn peer_pid(stream: &UnixStream) -> Result<u32, EngineError> {
    let credentials = sockopt::socket_peercred(stream)
        .map_err(EngineError::io("ask for the peer of a Unix socket"))?;
    Ok(credentials.pid.as_raw_pid().unsigned_abs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn connects_through_a_path_longer_than_sun_path() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d".repeat(200));
        std::fs::create_dir(&dir).unwrap();
        let near = root.path().join("s");
        let _listener = UnixListener::bind(&near).unwrap();
        std::fs::rename(&near, dir.join("s")).unwrap();
        let stream = connect(&dir.join("s"), SHORT).unwrap();
        assert_eq!(peer_pid(&stream).unwrap(), std::process::id());
    }

    #[test]
    fn a_listener_that_never_accepts_costs_no_more_than_the_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let began = Instant::now();
        let held: Vec<_> = (0..3).map(|_| connect(&path, SHORT)).collect();
        assert!(
            held.iter().any(Result::is_err),
            "a backlog of one took three connections"
        );
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_missing_socket_is_named() {
        let message = connect(Path::new("/nonexistent/s"), SHORT)
            .unwrap_err()
            .to_string();
        assert_eq!(message, "cannot connect to /nonexistent/s");
    }
}
