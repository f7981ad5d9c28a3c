//! What every request handler shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use banger_api::{ApiError, ErrorCode, VmId};
use banger_engine::{Engine, Probe};
use banger_ops::{Cancel, Runner, store_error};
use banger_store::{Connection, Store, StoreError};

use crate::channels::Channels;
use crate::config::Config;
use crate::operations::Operations;
use crate::paths::Paths;
use crate::service::Runs;

/// The daemon's parts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Daemon(Arc<Parts>);

/// See [`Daemon`].
pub(crate) struct Parts {
    pub(crate) paths: Paths,
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) runner: Runner,
    pub(crate) engine: Arc<dyn Engine>,
    /// What the engine found on this host when the daemon started.
    pub(crate) probe: Probe,
    pub(crate) operations: Operations,
    pub(crate) channels: Channels,
    pub(crate) locks: Locks,
    pub(crate) runs: Runs,
    pub(crate) started: Instant,
    /// Fires when the daemon is to stop.
    pub(crate) stop: Cancel,
}

impl Daemon {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Waits for a VM's lock, and ends what an earlier plan of it has left half-way. Blocks. The VM's record is to be read
    /// afterwards: this may change it.
    ///
    /// # Errors
    /// What was left half-way still resists.
    pub(crate) fn hold(&self, vm: VmId) -> Result<Held, ApiError> {
        let held = self.locks.vm(vm);
        self.runner.settle(vm)?;
        Ok(held)
    }

    /// Reads the store.
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, ApiError> {
        self.store.read(query).map_err(store_error)
    }
}

impl std::ops::Deref for Daemon {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// One lock for each VM, and one for each name of an image or kernel that is being made.
#[derive(Default)]
pub(crate) struct Locks {
    vms: Mutex<HashMap<VmId, Arc<tokio::sync::Mutex<()>>>>,
    names: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A lock that is held until it is dropped.
pub(crate) type Held = tokio::sync::OwnedMutexGuard<()>;

impl Locks {
    /// Waits for a VM's lock. Blocks.
    pub(crate) fn vm(&self, vm: VmId) -> Held {
        let mut vms = self.vms.lock().unwrap_or_else(PoisonError::into_inner);
        // Locks that nobody holds or waits for are forgotten here: the map stays as small as the work is.
        vms.retain(|id, lock| *id == vm || Arc::strong_count(lock) > 1);
        let lock = vms.entry(vm).or_default().clone();
        drop(vms);
        hold(lock)
    }

    /// Waits for the lock of making something of this name, as `image:debian-minimal`. Blocks.
    ///
    /// # Errors
    /// `cancelled`: another operation makes the same thing, which may take minutes.
    pub(crate) fn name(&self, name: &str, cancel: &Cancel) -> Result<Held, ApiError> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|known, lock| known == name || Arc::strong_count(lock) > 1);
        let lock = names.entry(name.to_owned()).or_default().clone();
        drop(names);
        tokio::runtime::Handle::current().block_on(async {
            tokio::select! {
                held = lock.lock_owned() => Ok(held),
                () = cancel.cancelled() => Err(ApiError::new(ErrorCode::Cancelled, "cancelled")),
            }
        })
    }
}

fn hold(lock: Arc<tokio::sync::Mutex<()>>) -> Held {
    match lock.clone().try_lock_owned() {
        Ok(held) => held,
        Err(_taken) => tokio::runtime::Handle::current().block_on(lock.lock_owned()),
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
