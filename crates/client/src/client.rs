//! The handle from which calls are made.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Header with which each side tells which build it is.
pub const BUILD_HEADER: &str = "banger-build";

/// A daemon's socket. Cheap to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    socket: PathBuf,
    build: Option<String>,
    daemon_build: Mutex<Option<String>>,
}

impl Client {
    /// Calls go to `socket`; `build` is told to the daemon in [`BUILD_HEADER`]. Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>, build: Option<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                socket: socket.into(),
                build,
                daemon_build: Mutex::new(None),
            }),
        }
    }

    /// The socket that calls go to.
    pub fn socket(&self) -> &Path {
        &self.inner.socket
    }

    /// The build that calls tell.
    pub(crate) fn build(&self) -> Option<&str> {
        self.inner.build.as_deref()
    }

    /// The build that the daemon told in its last answer.
    pub fn daemon_build(&self) -> Option<String> {
        // A string is whole whoever panicked while holding the lock.
        self.inner
            .daemon_build
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn note_daemon_build(&self, build: Option<String>) {
        *self
            .inner
            .daemon_build
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = build;
    }
}
