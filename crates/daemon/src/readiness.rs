//! Waiting for a descriptor of the kernel (a pidfd, an inotify queue) to become readable. The one unsafe place of this
//! crate.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime.
///
/// # Errors
/// Those of epoll_ctl(2).
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `AsyncFd` must see one and the same open descriptor as long as it lives. An `OwnedFd` gives always its own
    // descriptor and closes it only when it is dropped, which `AsyncFd` does after it has deregistered it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(Into::into)
}
