//! Identity of a network process, and the names of its files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Name of the configuration in the folder of a VM's sockets.
pub const NET_CONFIG: &str = "net.json";
/// Name of the socket at which the process listens for the daemon.
pub const NET_CONTROL: &str = "net.control";
/// Name of the process's own log: its standard error.
pub const NET_LOG: &str = "net.log";

/// One network process of one boot of the host, as the daemon records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetIdentity {
    /// Its pid; reused by the kernel, so never enough alone.
    pub pid: u32,
    /// Clock ticks between the host's boot and its start.
    pub start_ticks: u64,
    /// The host's boot in which it runs.
    pub boot_id: String,
    /// Its program.
    pub exe: PathBuf,
    /// Token of its launch, in its arguments and its configuration.
    pub token: String,
    /// Folder of its sockets, in which it runs.
    pub dir: PathBuf,
}

impl NetIdentity {
    /// The socket at which it listens for the daemon.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.dir.join(NET_CONTROL)
    }
}
