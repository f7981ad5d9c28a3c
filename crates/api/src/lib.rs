//! Wire types, error codes and routes of banger's HTTP API.
//!
//! ```text
//! cli ──► client ──HTTP/1.1 + JSON over a Unix socket──► daemon
//!            └───────────── these types ──────────────────┘
//! ```
//!
//! Everything that crosses the socket is defined here and nowhere else: the OpenAPI document is made from these types,
//! and a text that is not valid (a name, a size, a guest port) cannot become one of them. The crate does no I/O and
//! knows nothing of disks, processes or guests. No path of the daemon's own state crosses the wire.

pub mod checkpoint;
mod condition;
pub mod detached;
mod digest;
pub mod doctor;
pub mod error;
pub mod event;
mod exit;
pub mod files;
pub mod guest;
pub mod ids;
pub mod image;
pub mod jail;
pub mod kernel;
pub mod labels;
pub mod network;
pub mod operation;
pub mod pull;
pub mod routes;
pub mod secret;
pub mod size;
pub mod suggest;
pub mod system;
pub mod template;
pub mod time;
pub mod vm;

pub use condition::{Condition, ConditionCause, ConditionKind};
pub use digest::{ContentDigest, InvalidDigest};
pub use error::{ApiError, ErrorCode};
pub use exit::ExitCause;
pub use ids::{
    CheckpointId, CheckpointName, EngineName, ImageName, InvalidName, KernelName, LayerId,
    NetworkName, OperationId, VmId, VmName,
};
pub use labels::{InvalidLabel, Label, LabelFilter, LabelKey, LabelValue, Labels};
pub use size::ByteSize;
pub use time::Timestamp;
