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
    socket: Mutex<Arc<Path>>,
    build: Option<String>,
    daemon_build: Mutex<Option<String>>,
}

impl Client {
    /// Calls go to `socket`; `build` is told to the daemon in [`BUILD_HEADER`]. Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>, build: Option<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                socket: Mutex::new(Arc::from(socket.into())),
                build,
                daemon_build: Mutex::new(None),
            }),
        }
    }

    /// The socket that calls go to.
    pub fn socket(&self) -> Arc<Path> {
        // A panic of another holder of the lock cannot leave half a path behind.
        self.inner
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Calls of this handle and of all its clones go to `socket` from now on: another daemon listens elsewhere.
    pub fn move_to(&self, socket: &Path) {
        *self
            .inner
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::from(socket);
    }

    /// The build that calls tell.
    pub(crate) fn build(&self) -> Option<&str> {
        self.inner.build.as_deref()
    }

    /// The build that the daemon told in its last answer.
    pub fn daemon_build(&self) -> Option<String> {
        // A panic of another holder of the lock cannot leave half a string behind.
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
