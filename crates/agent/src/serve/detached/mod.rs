//! Commands that go on without the host that started them.
//!
//! ```text
//!  agent ── order on stdin ──► watcher: `banger-agent detached FOLDER`, in a session of its own
//!        ◄─ started │ failed ──┘  │ runs the command, and outlives agent, host and daemon
//!                                 ▼
//!  /run/banger/exec/<id>/   alive         locked by the watcher while it lives
//!                           started.json  what runs since when
//!                           log.<n>       frames; the newest few segments are kept
//!                           end.json      how it ended; the log is whole by then
//!  list, attach ◄── read these files: any agent, the next one too
//! ```

mod calls;
mod log;
mod record;
mod watcher;

pub(super) use calls::{attach, detach, list};
pub use watcher::watch;
