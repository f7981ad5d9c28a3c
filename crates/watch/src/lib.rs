//! Progress and cancelling of long work: typed events for the caller, and the caller's cancel.
//!
//! ```text
//!  work ── report(stage, detail, done, total) ─► Progress<Stage> ─► the caller's closure
//!       ── check, flow ──────────────────────◄── the caller's cancel ── Cancelled
//! ```
//!
//! Each crate that works for long names its own stages ([`Stage`]) and turns [`Cancelled`] into its own error.
//!
//! Promises: nothing is kept; a watch is borrowed for one call.
//!
//! It must not: know any stage, print, or decide to stop by itself.

mod watch;

pub use watch::{Cancel, Cancelled, Progress, Stage, Watch};
