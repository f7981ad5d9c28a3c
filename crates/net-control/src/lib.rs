//! Messages between the daemon and a VM's network process.
//!
//! ```text
//! daemon ── NetConfig, a file of 0600 ──► `banger internal net`            read once, at its start
//!    │                                          │
//!    └── Client ── one JSON line a message ─────┘  hello, policy, status, denials, check, published ports
//!
//! audit log of the process ─► verify (the chain), replay (another policy over what was asked)
//! ```
//!
//! Promises: every form has a version and is read by later builds; a line has a limit; a descriptor goes along with the
//! message that names it; a secret's value is in no message and no file, but in memory that goes along as a descriptor.
//!
//! It must not: open the guest's traffic, judge by itself, or need a runtime (all calls block, each with a deadline).

mod audit;
mod client;
mod config;
mod error;
mod handover;
mod identity;
mod line;
mod message;
mod proxy;

pub use audit::{
    AUDIT_FILE_MAX_BYTES, AUDIT_FILES, AuditError, Event, Record, Replayed, Sealed, Told, Verified,
    read_audit, replay, seal, tail, verify,
};
pub use client::{Client, Following};
pub use config::{
    GATEWAY_MAC, GuestLink, GuestV4, GuestV6, Link, NET_CONFIG_VERSION, NameServers, NetConfig,
    Publish,
};
pub use error::ControlError;
pub use handover::{HANDOVER_MAX_BYTES, Handover};
pub use identity::{NET_CONFIG, NET_CONTROL, NET_LOG, NetIdentity};
pub use line::{LINE_MAX_BYTES, LineReader, write_line};
pub use message::{
    Check, Checked, Counters, FailureCode, Hello, PROTOCOL_MIN, PROTOCOL_VERSION, PublishStatus,
    Reply, Request, Status,
};
pub use proxy::Proxy;
