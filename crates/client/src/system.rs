//! Calls about the daemon and its host.

use banger_api::doctor::Report;
use banger_api::event::EventsAfter;
use banger_api::routes::{self, encode};
use banger_api::system::{DaemonStatus, Resources, StopDaemon, Sweep};

use crate::bytestream::ByteStream;
use crate::client::Client;
use crate::error::ClientError;
use crate::events::SystemEvents;

/// Choice of events of the whole installation.
#[derive(Debug, Clone, Default)]
pub struct WantedEvents {
    /// Place after which they begin. None: before the last `limit` ones.
    pub after: Option<EventsAfter>,
    /// Those to come follow, until the daemon ends.
    pub follow: bool,
    /// Those of one VM, by any reference; of one that is gone, by the name or the id that it had.
    pub vm: Option<String>,
    /// Number of the last events that come first when no place is named.
    pub limit: Option<u32>,
}

impl Client {
    /// Events of the whole installation, oldest first.
    ///
    /// # Errors
    /// As every call: see [`ClientError`].
    pub async fn events(&self, wanted: &WantedEvents) -> Result<SystemEvents, ClientError> {
        let mut path = format!("{}?follow={}", routes::EVENTS, wanted.follow);
        if let Some(after) = &wanted.after {
            path.push_str(&format!("&after={after}"));
        }
        if let Some(vm) = &wanted.vm {
            path.push_str(&format!("&vm={}", encode(vm)));
        }
        if let Some(limit) = wanted.limit {
            path.push_str(&format!("&limit={limit}"));
        }
        let answer = self.get(path).stream().await?;
        Ok(SystemEvents::new(ByteStream::new(answer)))
    }

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
