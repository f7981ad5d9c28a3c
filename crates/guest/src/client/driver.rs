//! The task that moves a conversation: it owns the yamux connection, opens calls for clients and watches the guest.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use yamux::{Connection, ConnectionError, Mode};

use super::error::SessionEnd;
use crate::limits::{CALL_WINDOW, MAX_CALLS};
use crate::wire::session;

/// How a client asks for a new call.
pub(super) type Opener = oneshot::Sender<yamux::Stream>;
/// `Some` once the conversation is over.
pub(super) type Ended = watch::Receiver<Option<Arc<SessionEnd>>>;

/// Bytes a guest may send beyond what its calls account for: everything that can be in flight for calls that the
/// host dropped meanwhile.
const FREE_ALLOWANCE: u64 = (MAX_CALLS * CALL_WINDOW) as u64 * 2;
/// The worst honest overhead: frames of one byte behind a header of twelve.
const OVERHEAD: u64 = 16;

/// What flows, counted: a guest that floods its host with bytes that reach no call is cut off.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    delivered: AtomicU64,
    opened: AtomicU64,
}

impl Traffic {
    /// A call's reader got bytes.
    pub(super) fn delivered(&self, bytes: usize) {
        self.0.delivered.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes received, when they are more than everything that was asked for explains.
    fn flood(&self) -> Option<u64> {
        let received = self.0.received.load(Ordering::Relaxed);
        let explained = self.0.delivered.load(Ordering::Relaxed) * OVERHEAD
            + self.0.sent.load(Ordering::Relaxed)
            + self.0.opened.load(Ordering::Relaxed) * CALL_WINDOW as u64 * OVERHEAD;
        (received > explained + FREE_ALLOWANCE).then_some(received)
    }
}

/// The engine's socket, counted.
pub(super) struct Counted<S> {
    inner: S,
    traffic: Traffic,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, traffic: Traffic) -> Self {
        Self { inner, traffic }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.traffic
            .0
            .received
            .fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.traffic
            .0
            .sent
            .fetch_add(sent as u64, Ordering::Relaxed);
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// Runs a conversation until it ends, then says why.
pub(super) async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    traffic: Traffic,
    mut wishes: mpsc::Receiver<Opener>,
    ended: watch::Sender<Option<Arc<SessionEnd>>>,
) {
    let mut connection =
        Connection::new(session::buffered(socket), session::config(), Mode::Client);
    let end = std::future::poll_fn(|cx| poll(&mut connection, &traffic, &mut wishes, cx)).await;
    // The streams of the connection see their end when it is dropped; the reason must be there by then.
    ended.send_replace(Some(Arc::new(end)));
}

fn poll<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    traffic: &Traffic,
    wishes: &mut mpsc::Receiver<Opener>,
    cx: &mut Context<'_>,
) -> Poll<SessionEnd> {
    loop {
        match wishes.poll_recv(cx) {
            Poll::Ready(None) => return Poll::Ready(SessionEnd::HostClosed),
            Poll::Ready(Some(wish)) => match connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    traffic.0.opened.fetch_add(1, Ordering::Relaxed);
                    // The client may have given up; then the stream is dropped here, which resets it.
                    let _ = wish.send(stream);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(ended_by(error)),
                // Only with more unacknowledged calls than may be open at all.
                Poll::Pending => return Poll::Ready(SessionEnd::Stalled),
            },
            Poll::Pending => break,
        }
    }
    let inbound = connection.poll_next_inbound(cx);
    if let Some(received) = traffic.flood() {
        return Poll::Ready(SessionEnd::Flood { received });
    }
    match inbound {
        Poll::Pending => Poll::Pending,
        Poll::Ready(None) => Poll::Ready(SessionEnd::GuestClosed),
        Poll::Ready(Some(Ok(_refused))) => Poll::Ready(SessionEnd::GuestOpenedCall),
        Poll::Ready(Some(Err(error))) => Poll::Ready(ended_by(error)),
    }
}

fn ended_by(error: ConnectionError) -> SessionEnd {
    match error {
        ConnectionError::Closed => SessionEnd::GuestClosed,
        ConnectionError::TooManyStreams => SessionEnd::Stalled,
        other => SessionEnd::Protocol(other),
    }
}
