//! Repositories on their way into guests.
//!
//! ```text
//! Asked (arguments) ──► survey, refusals ──► Going ──► while the VM boots: packs are made
//!                                              └──► place: one stream, then the record of what was sent
//! ```

mod asked;
mod going;
mod guest_files;
mod record;
mod surroundings;

pub use asked::Asked;
pub use going::{Going, Gone};
pub use surroundings::surround;
