//! A virtio-serial port as a stream.
//!
//! The driver (drivers/char/virtio_console.c) tells by `EPOLLHUP` that the host is not connected, for as long as it is
//! not, and reads give 0 bytes meanwhile. A runtime takes a hang-up for final, and rightly so for everything else.
//! Therefore the port is watched by an epoll of its own, edge-triggered, which wakes at each change and never hangs up;
//! the runtime watches that epoll.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sys;

/// An open port. Reads and writes must come from one task: there is one event source for both.
pub struct Port {
    port: OwnedFd,
    changes: AsyncFd<OwnedFd>,
}

impl Port {
    /// Watches an open, non-blocking port.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn new(port: OwnedFd) -> io::Result<Self> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &watch,
            &port,
            EventData::new_u64(0),
            EventFlags::IN | EventFlags::OUT | EventFlags::ET,
        )?;
        Ok(Self {
            port,
            changes: sys::watch(watch)?,
        })
    }

    /// Waits until a host is connected.
    ///
    /// # Errors
    /// When the port cannot be asked.
    pub async fn connected(&self) -> io::Result<()> {
        loop {
            if self.has_host()? {
                return Ok(());
            }
            std::future::poll_fn(|cx| self.poll_change(cx)).await?;
        }
    }

    /// Is a host connected?
    ///
    /// # Errors
    /// When the port cannot be asked.
    pub fn has_host(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.port, PollFlags::IN | PollFlags::OUT)];
        poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )?;
        Ok(!fds[0].revents().contains(PollFlags::HUP))
    }

    /// Ready after the port changed since the last time.
    fn poll_change(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ready = ready!(self.changes.poll_read_ready(cx))?;
        let mut events = Vec::with_capacity(4);
        epoll::wait(
            self.changes.get_ref(),
            rustix::buffer::spare_capacity(&mut events),
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )?;
        ready.clear_ready();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Port {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match rustix::io::read(&self.port, buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN) => ready!(self.poll_change(cx))?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match rustix::io::write(&self.port, bytes) {
                Ok(written) => return Poll::Ready(Ok(written)),
                // Full, or nobody there to take it.
                Err(rustix::io::Errno::AGAIN) => {
                    if !self.has_host()? {
                        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                    }
                    ready!(self.poll_change(cx))?;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
