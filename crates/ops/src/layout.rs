//! Places of a VM's files, and of layers of disks.

use std::path::{Path, PathBuf};

use banger_api::LayerId;
use banger_store::DiskNames;
use serde::{Deserialize, Serialize};

use crate::own::{OwnDir, OwnFile};

/// The files of one VM. `state` survives a reboot of the host, `run` need not.
///
/// ```text
/// state/  system.img  work.img  ssh_host_ed25519_key  console.log      (or system-2.img  work-2.img)
/// run/    control.sock    channel.sock    (the engine's own)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmFiles {
    /// Directory of what is kept.
    pub state: OwnDir,
    /// Directory of what lives as long as the VMM.
    pub run: OwnDir,
    /// Names of the disks in it.
    #[serde(default)]
    pub names: DiskNames,
}

const SYSTEM_OVERLAY: &str = "system.img";
const WORK_DISK: &str = "work.img";

/// Names of the system overlay and the work disk.
fn disks(names: DiskNames) -> [&'static str; 2] {
    match names {
        DiskNames::First => [SYSTEM_OVERLAY, WORK_DISK],
        DiskNames::Second => ["system-2.img", "work-2.img"],
    }
}

const WORKSPACES: &str = "workspaces";
const CONSOLE_LOG: &str = "console.log";
pub(crate) const SUSPENDED: &str = "suspended.state";
const WOKEN_MEMORY: &str = "memory.img";
const SSH_HOST_KEY: &str = "ssh_host_ed25519_key";

impl VmFiles {
    /// The system overlay.
    pub fn system_overlay(&self) -> PathBuf {
        let [system, _work] = disks(self.names);
        self.state.join(system)
    }
    /// The work disk.
    pub fn work_disk(&self) -> PathBuf {
        let [_system, work] = disks(self.names);
        self.state.join(work)
    }

    /// Records of what clients have sent to the guest, in their own words.
    pub fn workspaces(&self) -> PathBuf {
        self.state.join(WORKSPACES)
    }

    /// The same with the other names for the disks.
    pub fn other(&self) -> Self {
        Self {
            names: self.names.other(),
            ..self.clone()
        }
    }

    /// The files that have the other names, if they are there.
    pub(crate) fn spare_disks(&self) -> [OwnFile; 2] {
        disks(self.names.other()).map(|name| self.state.file(name))
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
    pub(crate) fn in_order_of_removal(&self) -> [OwnFile; 8] {
        let [system_2, work_2] = disks(DiskNames::Second);
        [
            SUSPENDED,
            WOKEN_MEMORY,
            system_2,
            SYSTEM_OVERLAY,
            CONSOLE_LOG,
            SSH_HOST_KEY,
            work_2,
            WORK_DISK,
        ]
        .map(|name| self.state.file(name))
    }
}

/// The files of one layer: the disks of a VM, and what clients know of them, as they were when it was frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFiles {
    /// The layer.
    pub id: LayerId,
    /// Its directory.
    pub dir: OwnDir,
}

impl LayerFiles {
    /// The system overlay.
    pub fn system(&self) -> PathBuf {
        self.dir.join(SYSTEM_OVERLAY)
    }
    /// The work disk.
    pub fn work(&self) -> PathBuf {
        self.dir.join(WORK_DISK)
    }
    /// Records of what clients had sent to the guest then.
    pub fn workspaces(&self) -> PathBuf {
        self.dir.join(WORKSPACES)
    }
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
