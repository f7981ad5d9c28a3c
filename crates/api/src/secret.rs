//! Secrets that stay on the host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Timestamp, VmName};

/// A secret that is kept on the host. Its value is in no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Time at which its value was set last.
    #[schema(value_type = String, format = "date-time")]
    pub updated_at: Timestamp,
    /// VMs that use it.
    pub vms: Vec<VmName>,
}
