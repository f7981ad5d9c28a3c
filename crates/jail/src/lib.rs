//! A process that can do what its spec names and nothing else, without root.
//!
//! ```text
//!   Spec ─► Prepared: every string, rule and program that is needed, made before the fork
//!              │
//!            fork
//!              ▼  enter(), system calls alone
//!   control group ─► namespaces ─► an empty root with only the named files ─► limits ─► no capability, no new one
//!              ─► landlock ─► seccomp ─► exec
//! ```
//!
//! Promises:
//! - Between fork and exec nothing is allocated and no lock is taken.
//! - A layer that is wanted and cannot be had is an error that names the layer, the step and the cause; nothing of it
//!   stays behind, for all of it belongs to the child alone.
//! - No capability, no new privilege and no core dump: whatever the host lacks, and also when no other layer is wanted.
//!   (One stays for a process of root that listens at a port below 1024: the one for that.)
//!
//! The process keeps its pid and stays the child of its starter. There is no pid namespace: its starter, and whoever
//! comes after it, must recognise it by the pid that the kernel names as the peer of its sockets and that it writes
//! itself, and a first process of a namespace ignores its own `abort`. The other processes are out of its reach all the
//! same: it has no `/proc`, and seccomp refuses signals, pidfds and tracing.
//!
//! It must not: know the program or its purpose, choose paths, fall back by itself, or print.

mod enter;
mod error;
mod filter;
mod group;
mod layers;
mod prepared;
mod rules;
mod seal;
mod spec;
mod sys;
mod trial;
mod users;

pub use error::{JailError, Layer};
pub use group::{Controllers, Delegation, Group, GroupLimits, NoDelegation};
pub use layers::Layers;
pub use prepared::Prepared;
pub use seal::refuse_exec;
pub use spec::{Access, Item, Network, Spec};
pub use trial::{hint, trial};
pub use users::gives_users;
