//! Calls about the daemon and its host.

use banger_api::doctor::Report;
use banger_api::routes;
use banger_api::system::{DaemonStatus, Resources, StopDaemon, Sweep};

use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// The daemon.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn daemon_status(&self) -> Result<DaemonStatus, ClientError> {
        self.get(routes::DAEMON).answer().await
    }

    /// Asks the daemon to stop. Running VMs go on; the daemon answers before it is gone.
    ///
    /// A daemon whose status has no activity is of a build that does not know `stop.force`: it stops in any case.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn stop_daemon(&self, stop: StopDaemon) -> Result<(), ClientError> {
        // The answer's body, if any, tells nothing that the status does not.
        self.post(routes::DAEMON_STOP)
            .json(&stop)?
            .answer::<serde_json::Value>()
            .await
            .map(drop)
    }

    /// The preconditions of the daemon's host.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn doctor(&self) -> Result<Report, ClientError> {
        self.get(routes::DOCTOR).answer().await
    }

    /// Everything that banger owns on the daemon's host.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn resources(&self) -> Result<Resources, ClientError> {
        self.get(routes::SYSTEM_RESOURCES).answer().await
    }

    /// Removes everything that nothing claims, or only lists it.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn sweep(&self, sweep: &Sweep) -> Result<Resources, ClientError> {
        self.post(routes::SYSTEM_SWEEP).json(sweep)?.answer().await
    }
}
