//! The task that moves a conversation: it owns the yamux connection, opens calls for clients and watches the guest.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use yamux::{Connection, ConnectionError, Mode};

use super::error::SessionEnd;
use super::intake::{Calls, Flood, Intake};
use crate::wire::session;

/// Request of a client for a new call.
pub(super) type Opener = oneshot::Sender<yamux::Stream>;
/// `Some` once the conversation is over.
pub(super) type Ended = watch::Receiver<Option<Arc<SessionEnd>>>;

/// Runs a conversation until it ends, by itself or after a report that the agent is gone, then records the cause.
pub(super) async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    calls: Calls,
    mut open_requests: mpsc::Receiver<Opener>,
    lost: Arc<Notify>,
    ended: watch::Sender<Option<Arc<SessionEnd>>>,
) {
    let socket = Intake::new(session::buffered(socket), calls.clone());
    let mut connection = Connection::new(socket, session::config(), Mode::Client);
    let end = tokio::select! {
        end = std::future::poll_fn(|cx| poll(&mut connection, &calls, &mut open_requests, cx)) => end,
        () = lost.notified() => SessionEnd::AgentGone,
    };
    // The streams of the connection see their end when it is dropped; the reason must be there by then.
    ended.send_replace(Some(Arc::new(end)));
}

fn poll<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    calls: &Calls,
    open_requests: &mut mpsc::Receiver<Opener>,
    cx: &mut Context<'_>,
) -> Poll<SessionEnd> {
    loop {
        match open_requests.poll_recv(cx) {
            Poll::Ready(None) => return Poll::Ready(SessionEnd::HostClosed),
            Poll::Ready(Some(request)) => match connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    let id = stream.id().val();
                    calls.open(id);
                    if request.send(stream).is_err() {
                        // The client has given up: the stream was dropped, which resets it.
                        calls.close(id);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(ended_by(error)),
                // Happens only with more unacknowledged calls than may be open at all.
                Poll::Pending => return Poll::Ready(SessionEnd::Stalled),
            },
            Poll::Pending => break,
        }
    }
    match connection.poll_next_inbound(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(None) => Poll::Ready(SessionEnd::GuestClosed),
        Poll::Ready(Some(Ok(_refused))) => Poll::Ready(SessionEnd::GuestOpenedCall),
        Poll::Ready(Some(Err(error))) => Poll::Ready(ended_by(error)),
    }
}

fn ended_by(error: ConnectionError) -> SessionEnd {
    if let Some(Flood(received)) = flood(&error) {
        let received = *received;
        return SessionEnd::Flood { received };
    }
    match error {
        ConnectionError::Closed => SessionEnd::GuestClosed,
        ConnectionError::TooManyStreams => SessionEnd::Stalled,
        other => SessionEnd::Protocol(other),
    }
}

fn flood<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Flood> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(flood) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(flood);
        }
        cause = error.source();
    }
    None
}
