//! The guest's end of a terminal (pty(7)): the master side, read and written without blocking.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sys;

/// The master side of a terminal.
pub(super) struct Terminal {
    master: AsyncFd<OwnedFd>,
}

impl Terminal {
    /// Makes a terminal of the given size; gives its slave side too, for the command.
    pub(super) fn open(rows: u16, cols: u16, owner: Option<u32>) -> io::Result<(Self, OwnedFd)> {
        let master =
            rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        if let Some(uid) = owner {
            rustix::fs::fchown(&slave, Some(rustix::fs::Uid::from_raw(uid)), None)?;
            rustix::fs::fchmod(&slave, Mode::from_raw_mode(0o620))?;
        }
        set_size(&master, rows, cols)?;
        rustix::fs::fcntl_setfl(
            &master,
            rustix::fs::fcntl_getfl(&master)? | OFlags::NONBLOCK,
        )?;
        Ok((
            Self {
                master: sys::watch(master)?,
            },
            slave,
        ))
    }

    /// Another handle of the same side.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            master: sys::watch(self.master.get_ref().try_clone()?)?,
        })
    }

    /// Tells the terminal, and so the command, its new size.
    pub(super) fn resize(&self, rows: u16, cols: u16) -> io::Result<()> {
        set_size(self.master.get_ref(), rows, cols)
    }
}

fn set_size(master: &OwnedFd, rows: u16, cols: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(master, size)?)
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.master.poll_read_ready(cx))?;
            match ready.try_io(|fd| Ok(rustix::io::read(fd, buf.initialize_unfilled())?)) {
                Ok(Ok(read)) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // Nobody holds the other side any more: that is how a terminal ends (pty(7)).
                Ok(Err(error))
                    if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
                {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.master.poll_write_ready(cx))?;
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                return Poll::Ready(written);
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
