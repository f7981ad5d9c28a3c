//! A command with a deadline, and access to its input and output.
//!
//! ```text
//! Invocation ──run()──────────────► Finished
//!     └───────start()──► Running ──wait()──┘     signals and partial output while it runs
//! ```
//!
//! The command leads its own process group: a deadline ends all its children, and a signal reaches the same processes
//! as a terminal's Ctrl-C. Processes that outlive it by design (the daemon, a VMM) have a session of their own and
//! must not hold its output open, which is checked as well.

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
