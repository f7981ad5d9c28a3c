//! Running a command with a deadline, its input and output in hand.
//!
//! ```text
//! Invocation ──run()──────────────► Finished
//!     └───────start()──► Running ──wait()──┘     signals and partial output while it runs
//! ```
//!
//! The command leads its own process group, so that a deadline ends all that it started, and a signal reaches what a
//! terminal's Ctrl-C would reach. What outlives it by design (the daemon, a VMM) has a session of its own and must not
//! hold its output open: that is checked too.

mod capture;
mod finished;
mod invocation;
mod running;

pub(crate) use capture::Capture;
pub use finished::Finished;
pub use invocation::Invocation;
pub(crate) use invocation::prefixed;
pub use running::Running;
pub(crate) use running::ends_before;
