//! Runs one program of the host to its end, for work that no library does (apt, mmdebstrap).
//!
//! ```text
//!  Program ── run ──► own process group, one pipe for both outputs
//!                       │ each line ──► on_line
//!                       │ every 100 ms: cancel()? ──► SIGTERM to the group, grace, SIGKILL to the group
//!                       └ end ──► Ok(lines of the end) or Failed{status, last lines}
//! ```
//!
//! A program may run in a jail (crate `jail`).
//!
//! Promises: the call returns only when the program has been reaped; a cancelled program's whole group has been
//! signalled; output is bounded in memory; nothing is read from the terminal.
//!
//! It must not: run anything through a shell, or keep a program running after the call. Crate `process` starts programs
//! that outlive their caller (VMMs).

mod lines;
mod program;
mod run;

pub use program::{Program, find_in_path};
pub use run::CommandError;
