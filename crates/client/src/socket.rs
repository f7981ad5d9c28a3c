//! The connection to the daemon's socket: a path of any length, and only to a server that the caller may trust.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;

use crate::error::ClientError;

/// A daemon takes connections at once; one that is stopped, with a full backlog, takes none.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// Connects to the daemon that listens at `path`. Its process must belong to this user or to root: the calls carry
/// private data, and any user who can write to the socket's folder could listen there.
///
/// # Errors
/// [`ClientError::Connect`] and [`ClientError::Stranger`].
pub(crate) async fn connect(path: &Path) -> Result<UnixStream, ClientError> {
    let failed = |source| ClientError::Connect {
        socket: path.to_owned(),
        source,
    };
    let stream = open(path).map_err(failed)?;
    let server = stream.peer_cred().map_err(failed)?.uid();
    if server != 0 && server != rustix::process::geteuid().as_raw() {
        return Err(ClientError::Stranger {
            socket: path.to_owned(),
            uid: server,
        });
    }
    Ok(stream)
}

fn open(path: &Path) -> io::Result<UnixStream> {
    let stream = banger_socket::connect(path, CONNECTED_WITHIN)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_path_longer_than_an_address_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("d".repeat(200));
        std::fs::create_dir(&folder).unwrap();
        let near = root.path().join("s");
        let _listener = UnixListener::bind(&near).unwrap();
        std::fs::rename(&near, folder.join("s")).unwrap();
        connect(&folder.join("s")).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_at_a_long_path_is_no_daemon_too() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("d".repeat(200));
        assert!(connect(&folder.join("s")).await.unwrap_err().is_no_daemon());
        std::fs::create_dir(&folder).unwrap();
        assert!(connect(&folder.join("s")).await.unwrap_err().is_no_daemon());
    }
}
