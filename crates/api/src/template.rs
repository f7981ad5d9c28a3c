//! Templates: machines that were saved while they waited to be told what they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{OperationId, Timestamp};

/// A template, from which VMs wake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Template {
    /// Digest of all that must be the same in the machine of a VM that wakes from it, 64 hex digits.
    pub key: String,
    /// Name of its kernel, or its digest when no name stands for it.
    pub kernel: String,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
    /// Time of its making.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// Time at which a VM last woke from it, or of its making.
    #[schema(value_type = String, format = "date-time")]
    pub used_at: Timestamp,
}

/// Templates that a prune removed, or would remove. VMs that run have their own copies; the next start makes another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedTemplates {
    /// The templates.
    pub templates: Vec<Template>,
    /// Bytes of disk that they take.
    pub freed_bytes: u64,
    /// Operations that remove them; empty in a dry run.
    pub operations: Vec<OperationId>,
}
