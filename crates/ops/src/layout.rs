//! Places of a VM's files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::own::{OwnDir, OwnFile};

/// The files of one VM. `state` survives a reboot of the host, `run` need not.
///
/// ```text
/// state/  system.img  work.img  ssh_host_ed25519_key  console.log
/// run/    control.sock    channel.sock    (the engine's own)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmFiles {
    /// Directory of what is kept.
    pub state: OwnDir,
    /// Directory of what lives as long as the VMM.
    pub run: OwnDir,
}

const SYSTEM_OVERLAY: &str = "system.img";
const WORK_DISK: &str = "work.img";
const CONSOLE_LOG: &str = "console.log";
pub(crate) const SUSPENDED: &str = "suspended.state";
const WOKEN_MEMORY: &str = "memory.img";
const SSH_HOST_KEY: &str = "ssh_host_ed25519_key";

impl VmFiles {
    /// The system overlay.
    pub fn system_overlay(&self) -> PathBuf {
        self.state.join(SYSTEM_OVERLAY)
    }
    /// The work disk.
    pub fn work_disk(&self) -> PathBuf {
        self.state.join(WORK_DISK)
    }
    /// The console log.
    pub fn console_log(&self) -> PathBuf {
        self.state.join(CONSOLE_LOG)
    }
    /// The memory that the VM wakes with, until its VMM has mapped it.
    pub fn woken_memory(&self) -> PathBuf {
        self.state.join(WOKEN_MEMORY)
    }
    /// The memory of the VM while it is suspended.
    pub fn suspended(&self) -> PathBuf {
        self.state.join(SUSPENDED)
    }
    /// The SSH host key that the VM has for its life.
    pub fn ssh_host_key(&self) -> PathBuf {
        self.state.join(SSH_HOST_KEY)
    }

    /// Files of `state` that a deletion removes one by one, the work disk last.
    pub(crate) fn in_order_of_removal(&self) -> [OwnFile; 6] {
        [
            SUSPENDED,
            WOKEN_MEMORY,
            SYSTEM_OVERLAY,
            CONSOLE_LOG,
            SSH_HOST_KEY,
            WORK_DISK,
        ]
        .map(|name| self.state.file(name))
    }
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
