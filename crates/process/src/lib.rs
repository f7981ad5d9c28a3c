//! Processes that outlive the one that starts them: VMMs today, helpers beside them later.
//!
//! ```text
//!   Start ──► own session, only the named descriptors and variables ──► Process + Identity
//!                                                                           │
//!       pid, start time, boot, executable, token ◄── kept by the caller ────┘
//!            │                      │                       │
//!         Process::open          find(token)            list(directory)
//!     pidfd first, compared     a start of which        processes below it,
//!     with the Identity second  no pid was kept         recorded or not
//!            ▼
//!   signal · has_ended(within) · end(within)        Look: runs, stands still, gone
//! ```
//!
//! Promises:
//! - A process is never signalled by a bare pid: it is opened as a pidfd, then everything of its identity is compared.
//! - Nothing waits beyond its deadline, also for a process that is stopped or frozen.
//! - A process that may not be looked at is never taken for one of ours in a search, and never for gone when it is opened.
//! - While the starter lives, no zombie of its children stays.
//!
//! It must not: know the program or its purpose, choose directories, keep anything on disk, print, or need a runtime:
//! all calls block.

mod cgroup;
mod children;
mod error;
mod identity;
mod look;
mod proc;
mod process;
mod search;
mod start;
mod sys;

pub use children::Children;
pub use error::ProcessError;
pub use identity::{Identity, Program};
pub use look::{Look, Standing, Stillness};
pub use proc::boot_id;
pub use process::{Found, Process};
pub use search::{Seen, find, list, observe};
pub use start::Start;

pub use rustix::process::Signal;
