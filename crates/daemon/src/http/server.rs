//! The socket: 0600 in a 0700 directory, and only this user (or root) is answered.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use banger_ops::Cancel;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// Time to wait for the next of the connections that were made before the socket's name went.
const LAST_CALL: Duration = Duration::from_millis(10);

/// Listens at `path`, replacing a socket that a killed daemon has left. The caller holds the daemon's lock, so nobody
/// listens there any more.
///
/// # Errors
/// Those of the system calls.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = banger_socket::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Connections that are served.
pub(crate) struct Connections {
    ended: mpsc::Receiver<()>,
}

impl Connections {
    /// Waits until all have ended, but no longer than this.
    pub(crate) async fn ended(mut self, within: Duration) {
        // Nothing is ever sent: it ends when the last sender is dropped.
        let _ = tokio::time::timeout(within, self.ended.recv()).await;
    }
}

/// Serves until `stop` fires. Connections that are open then answer what they were asked, and end.
///
/// The socket's name is gone by then. Who had connected before is still answered: that this daemon is going down.
pub(crate) async fn serve(listener: UnixListener, router: Router, stop: &Cancel) -> Connections {
    let (alive, ended) = mpsc::channel(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => take(stream, &router, stop, &alive),
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                // Out of descriptors, most likely: what is open must end first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while let Ok(Ok((stream, _))) = tokio::time::timeout(LAST_CALL, listener.accept()).await {
        take(stream, &router, stop, &alive);
    }
    Connections { ended }
}

fn take(stream: UnixStream, router: &Router, stop: &Cancel, alive: &mpsc::Sender<()>) {
    if is_ours(&stream) {
        let (router, stop, alive) = (router.clone(), stop.clone(), alive.clone());
        tokio::spawn(async move {
            connection(stream, router, &stop).await;
            drop(alive);
        });
    } else {
        tracing::warn!("another user connected to the socket and was turned away");
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn connection(stream: UnixStream, router: Router, stop: &Cancel) {
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
