//! One open call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::calls::Client;
use super::intake::Calls;

/// The raw bytes of one call, after its request was sent. Dropping it ends the call; shutting the writing side down
/// tells the guest that the input has ended. Keeps the conversation alive.
pub struct CallStream {
    stream: Compat<yamux::Stream>,
    calls: Calls,
    client: Client,
    _open: OwnedSemaphorePermit,
}

impl CallStream {
    pub(super) fn new(stream: yamux::Stream, client: Client, open: OwnedSemaphorePermit) -> Self {
        Self {
            stream: stream.compat(),
            calls: client.calls(),
            client,
            _open: open,
        }
    }

    fn id(&self) -> u32 {
        self.stream.get_ref().id().val()
    }

    /// The conversation that it is part of.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        self.calls.close(self.id());
    }
}

impl std::fmt::Debug for CallStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CallStream")
            .field(&self.stream.get_ref().id())
            .finish()
    }
}

impl AsyncRead for CallStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_pending() {
            self.calls.wait(self.id());
        }
        polled
    }
}

impl AsyncWrite for CallStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
