//! Files of every guest: one contributor for each part of SPEC's table, nothing else edits guest files.
//!
//! ```text
//! GuestSetup + keys + configuration ──► contributors, in order ──► Configure ──► agent
//! ```

mod configure;
mod fstab;
mod git;
mod identity;
mod network;
mod shell;
mod ssh;

pub(crate) use configure::{Context, configure, now_ns};
pub(crate) use git::Identity;
