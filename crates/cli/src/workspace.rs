//! Repositories on their way into guests.
//!
//! ```text
//! SourceFlags ──────► survey, refusals ──► Outgoing ──► while the VM boots: packs are made
//!                          │                  └──► whole, update: one stream, then the record of what was sent
//! RepositoryFlags ─────────┴──► RepositoryRequests: image, ports ──► the VM ──► set_up: owner, tools, commands that run once
//! Watching ──► the host's files changed ──► survey ──► Outgoing::follow_up, as long as the user wants
//! Choice ──► record: which workspace of the VM
//! Against ──► the agent lists what changed, compared here ─┬─► checker ──► Exported: a patch that may be shown
//!         └─► else the guest's git ────────────────────────┘
//! ```

mod changes;
mod choice;
mod export;
mod forwards;
mod guest_files;
mod guest_git;
mod left_work;
mod record;
mod requests;
mod send;
mod setup;
mod side_command;
mod source_flags;
mod tools;
mod working_directory;
mod written;

pub use choice::Choice;
pub use export::{Against, Exported, needs_consent, pathspec, reason, shown};
pub use left_work::keep as keep_left_work;
pub use record::{Kept, all as all_workspaces};
pub use requests::{RepositoryFlags, RepositoryRequests};
pub use send::{Outgoing, Sent, Updated, refusal};
pub use setup::{Done, own};
pub use source_flags::{SourceFlags, failure};
pub use working_directory::{apply, folder, surround};
pub use written::{say, say_filtered, say_where, whole as write_whole};
