//! Sends a git repository of this host into a guest, and brings the changes back as a checked patch.
//!
//! ```text
//!            host                                                        guest
//! survey ──► the files to send; all that can be refused is refused here
//! devcontainer, pins ─► its files' wishes for the VM, in bounded words
//! compose ─► the tree as it is sent, one pack to the depth        \
//! send ────► one tar stream: files, then a .git of our own making  ├──► /root/<repo>
//! record ──► the sent state, kept on the host                     /
//! watcher ─► the host's files changed: look again
//! changes ─► next time: differences here, differences there ◄────────── digests of just these files
//! returned ◄ files that are not as they were sent ◄───────────────────── the agent, which knows the sent state
//! compare ─► one patch, made by the host's git from the sent and the returned files
//! export ──► a script for the guest's git, when the host has lost the sent state ─► one patch, or its commits
//! patch ◄─── a bounded parser that refuses all paths out of the repository: every patch goes through it
//! ```
//!
//! Promises: the host's repository is only read; nothing of its hooks, credentials or ignored files leaves the host; a
//! patch that passes touches files below the repository and nothing else.
//!
//! Must not: believe the guest; talk to a daemon; print; know VMs.

mod apply;
mod attributes;
mod changes;
mod compare;
pub mod compose;
mod config;
pub mod devcontainer;
mod digest;
mod error;
pub mod export;
mod git;
mod git_dir;
mod gitdir;
mod index;
mod look;
pub mod mbox;
mod pack;
pub mod patch;
mod pathspec;
pub mod pins;
mod record;
mod repository;
mod returned;
mod root;
mod send;
mod series;
mod standing;
mod survey;
mod tracked;
mod watcher;

pub use apply::{ApplyError, apply};
pub use changes::Changes;
pub use compare::{Compared, Comparison, Filtered};
pub use error::{GitError, WatchLimit, WorkspaceError};
pub use git::Git;
pub use look::Look;
pub use pathspec::{Pathspec, PathspecError};
pub use record::{Head, MAX_RECORD, PartRecord, Record, RecordError, Sent, SetUp};
pub use repository::{ObjectFormat, Oid, Repository, is_oid};
pub use returned::{LeftBehind, Returned, manifest};
pub use send::{Composing, GitPart, SendError, Shipment};
pub use series::Series;
pub use survey::{DEFAULT_DEPTH, Depth, Part, Source, Survey, Wanted};
pub use tracked::{Flags, RepoPath, Tracked};
pub use watcher::{Seen, Watcher};
