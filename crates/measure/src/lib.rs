//! Common parts of benches: times of one thing, the lines that report them, and content to work on.
//!
//! ```text
//! timed(program) ─┐
//!                 ├─► Samples ─► median, line ─► a bench's output, each line beside its limit
//! took elsewhere ─┘
//! ```
//!
//! Promises: a median is never better than the truth; content is the same in every run.
//!
//! Must not: be linked by anything but benches; know a crate of the product.

mod content;
mod runs;
mod samples;
mod timed;

pub use content::half_noise;
pub use runs::{asked_to_measure, runs};
pub use samples::{Samples, in_ms, row};
pub use timed::timed;
