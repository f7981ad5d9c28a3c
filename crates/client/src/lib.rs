//! Typed calls to the banger daemon over its Unix socket.
//!
//! ```text
//! Client ──one connection for each call──► daemon.sock          (HTTP/1.1)
//!   │ vms, images, kernels, system        JSON in, JSON out
//!   │ operation_events ──► OperationEvents   server-sent events, numbered, bounded
//!   │ events ───────────► SystemEvents      the same, of everything, from a cursor on
//!   │ vm_logs ──────────► ByteStream         a body, read while it arrives
//!   │ exec ─────────────► ExecSession        a command: its events and its input
//!   └ vm_exec, vm_put_files, … ─101──► Upgraded   raw bytes both ways
//! ```
//!
//! It promises: every answer of the daemon is read within fixed limits ([`limits`]); an error of the daemon
//! arrives as the [`ApiError`](banger_api::ApiError) that it sent; dropping a stream closes its connection at once. It
//! must not start a daemon, print, or read the environment: that is its caller's part.

mod bytestream;
mod checkpoints;
mod client;
mod detached;
mod error;
mod events;
mod exec;
mod images;
mod kernels;
pub mod limits;
mod operations;
pub mod secrets;
mod socket;
mod sse;
mod system;
mod templates;
mod transport;
mod vms;
mod workspace;

pub use bytestream::ByteStream;
pub use client::{BUILD_HEADER, Client};
pub use error::ClientError;
pub use events::{EventStream, OperationEvents, SystemEvents};
pub use exec::{ExecError, ExecEvent, ExecEvents, ExecInput, ExecSession, Started};
pub use system::WantedEvents;
pub use transport::Upgraded;
