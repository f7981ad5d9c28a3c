//! The files of a VM's disks.

use banger_api::{CheckpointId, LayerId};
use serde::{Deserialize, Serialize};

/// Names of the files that a VM writes to. A switch to other disks makes them under the name that is free, and the record says at
/// one moment which of them are the VM's.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DiskNames {
    /// Those that every VM begins with.
    #[default]
    First,
    /// The others.
    Second,
}

impl DiskNames {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The other names.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The disks of a VM: the files that it writes to, and the frozen layers below them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmDisks {
    /// Names of the files that it writes to.
    #[serde(default)]
    pub names: DiskNames,
    /// Layers, the lowest first. With none the files are raw disks, else tops over them.
    #[serde(default)]
    pub layers: Vec<LayerId>,
    /// The checkpoint from which it went on.
    #[serde(default)]
    pub checkpoint: Option<CheckpointId>,
    /// A layer that is made while it runs: it has the files that the VM writes to, until these are switched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<LayerId>,
}

impl VmDisks {
    /// The layers that they need.
    pub fn needs(&self) -> Vec<LayerId> {
        self.layers.iter().chain(&self.pending).copied().collect()
    }

    /// Tells whether they are as every VM begins with.
    pub fn is_new(&self) -> bool {
        *self == Self::default()
    }
}
