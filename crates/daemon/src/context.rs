//! State that every request handler shares.

use std::sync::Arc;
use std::time::Instant;

use banger_api::ApiError;
use banger_control::Control;
use banger_engine::Engine;
use banger_ops::Cancel;
use banger_ssh::Hosts;
use banger_store::{Connection, StoreError};
use tokio::sync::watch;

use crate::channels::Channels;
use crate::conditions::Conditions;
use crate::config::Config;
use crate::gate::Gate;
use crate::localhost::Front;
use crate::paths::Paths;
use crate::ports::OpenPorts;
use crate::secrets::Shelf;

/// The daemon's parts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Daemon(Arc<Parts>);

/// See [`Daemon`].
pub(crate) struct Parts {
    /// The control plane.
    pub(crate) control: Control,
    pub(crate) paths: Paths,
    pub(crate) config: Config,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) channels: Channels,
    pub(crate) conditions: Conditions,
    pub(crate) ports: OpenPorts,
    pub(crate) front: Front,
    pub(crate) ssh_hosts: Arc<Hosts>,
    /// Changes with each write to the store.
    pub(crate) written: watch::Receiver<()>,
    pub(crate) secrets: Shelf,
    pub(crate) started: Instant,
    /// Gate that knows what is under way and lets more in.
    pub(crate) gate: Gate,
    /// Fires when the daemon is to stop.
    pub(crate) stop: Cancel,
}

impl Daemon {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Reads the store.
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, ApiError> {
        self.control.read(query)
    }
}

impl std::ops::Deref for Daemon {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
