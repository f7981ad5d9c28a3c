//! The API: HTTP/1.1 and JSON on a Unix socket. Handlers parse, call the control plane, and answer; they decide nothing.
//!
//! ```text
//! accept ─ peer is this user? ─► gate ─► router ─► handler ─► banger-control ─► JSON
//!                                            ├─► server-sent events of an operation, or of everything
//!                                            └─► 101: a raw stream to the guest (exec, files, connect)
//! ```

mod answer;
mod body;
mod changes;
mod checkpoints;
mod detached;
mod events;
mod export;
mod files;
mod gate;
mod logs;
mod network;
mod openapi;
mod pull;
mod router;
mod secrets;
mod server;
mod streams;
mod system;
mod system_events;
mod templates;
mod vms;
mod workspace;

pub use openapi::openapi;
pub(crate) use router::router;
pub(crate) use server::{bind, serve};
pub(crate) use system::running_operations;
