//! Where a VM's files are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The files of one VM. `state` survives a reboot of the host, `run` need not.
///
/// ```text
/// state/  system.img  work.img  ssh_host_ed25519_key  console.log
/// run/    control.sock    channel.sock    (the engine's own)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmFiles {
    /// Directory of what is kept.
    pub state: PathBuf,
    /// Directory of what lives as long as the VMM.
    pub run: PathBuf,
}

impl VmFiles {
    /// The system overlay.
    pub fn system_overlay(&self) -> PathBuf {
        self.state.join("system.img")
    }
    /// The work disk.
    pub fn work_disk(&self) -> PathBuf {
        self.state.join("work.img")
    }
    /// The console log.
    pub fn console_log(&self) -> PathBuf {
        self.state.join("console.log")
    }
    /// The SSH host key that the VM has for its life.
    pub fn ssh_host_key(&self) -> PathBuf {
        self.state.join("ssh_host_ed25519_key")
    }
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
