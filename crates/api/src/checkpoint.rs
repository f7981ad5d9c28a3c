//! Checkpoints: points in the life of a VM's disks to which it can go back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CheckpointId, CheckpointName, Timestamp, VmName};

/// One checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// Its id.
    pub id: CheckpointId,
    /// Its name, unique among its VM's.
    pub name: CheckpointName,
    /// The checkpoint that the VM was at before, or had gone back to.
    pub parent: Option<CheckpointId>,
    /// True for the one that the VM's disks have gone on from.
    pub current: bool,
    /// Time of its making.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// Size of the work disk, bytes.
    pub disk_bytes: u64,
    /// Bytes of the host's disk that are written since the checkpoint before it.
    pub allocated_bytes: u64,
    /// Damage of its record: then it can be deleted and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// A checkpoint to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCheckpoint {
    /// Its name; made up when left out.
    #[serde(default)]
    pub name: Option<CheckpointName>,
}

/// A way back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreCheckpoint {
    /// True to lose the disks as they are now. Otherwise it is made a checkpoint first.
    #[serde(default)]
    pub discard_current: bool,
}

/// VMs to make of another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkVm {
    /// The checkpoint from which they go on: a name, a full id or a unique prefix of an id. Left out: what its disks are now, which is
    /// made a checkpoint.
    #[serde(default)]
    pub checkpoint: Option<String>,
    /// Their number; one when left out.
    #[serde(default)]
    pub count: Option<u32>,
    /// Name of the one, or of several with numbers behind it; the VM's own when left out.
    #[serde(default)]
    pub name: Option<VmName>,
}
