//! Binding, connecting, and the peer.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// A path that fits a socket's address, as long as its directory is held open.
struct Short {
    path: PathBuf,
    _dir: OwnedFd,
}

fn shorten(path: &Path) -> io::Result<Short> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, Mode::empty())?;
    Ok(Short {
        path: PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name),
        _dir: dir,
    })
}

/// Listens at `path`, of any length.
///
/// # Errors
/// Those of the system calls; the caller names the path. Also when the file name alone is too long.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let short = shorten(path)?;
    UnixListener::bind(&short.path)
}

/// Connects to the Unix socket at `path`, of any length.
///
/// A listener that no longer accepts (a stopped process) fills its backlog, and a plain connect then sleeps for ever:
/// this one fails after `timeout`, which must not be zero. The stream keeps no timeout.
///
/// # Errors
/// Those of the system calls; the caller names the path. Also when the file name alone is too long.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let short = shorten(path)?;
    let address = SocketAddrUnix::new(&short.path)?;
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // On a Unix socket the send timeout also bounds connect (socket(7)).
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(timeout))?;
    rustix::net::connect(&socket, &address)?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, None)?;
    Ok(UnixStream::from(socket))
}

/// The pid of the process that listens at the other end, as the kernel recorded it (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// The kernel does not say.
pub fn peer_pid(stream: &UnixStream) -> io::Result<u32> {
    let credentials = sockopt::socket_peercred(stream)?;
    Ok(credentials.pid.as_raw_pid().unsigned_abs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn a_path_longer_than_a_sockets_address_is_bound_and_connected_to() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("d".repeat(200)).join("s");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let _listener = bind(&path).unwrap();
        assert!(path.exists());
        let stream = connect(&path, SHORT).unwrap();
        assert_eq!(peer_pid(&stream).unwrap(), std::process::id());
    }

    #[test]
    fn a_listener_that_never_accepts_costs_no_more_than_the_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path).unwrap();
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
    fn what_is_not_there_names_no_file_or_has_too_long_a_name_is_told_apart() {
        let kind = |path: &str| connect(Path::new(path), SHORT).unwrap_err().kind();
        assert_eq!(kind("/nonexistent/s"), ErrorKind::NotFound);
        assert_eq!(kind("/"), ErrorKind::InvalidInput);
        let dir = tempfile::tempdir().unwrap();
        assert!(bind(&dir.path().join("n".repeat(120))).is_err());
        let message = connect(&dir.path().join("s"), SHORT).unwrap_err();
        assert_eq!(message.kind(), ErrorKind::NotFound);
    }
}
