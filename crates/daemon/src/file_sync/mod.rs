//! `[[file_sync]]`: files of the host that every guest gets a copy of, at every start.
//!
//! ```text
//! configuration ─► entry (checked, numbered) ─► survey (what is there, how much, which links) ─► put_files ─► /root
//! ```
//!
//! Faults of the configuration are refused by the entry's number before the daemon serves anybody; what is wrong
//! on the host or in the guest at a start is a warning of that start.

mod entry;
mod survey;
mod sync;

pub(crate) use entry::{SyncEntry, check, entries};
pub(crate) use sync::sync;
