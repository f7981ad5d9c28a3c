//! Repositories on their way into guests.
//!
//! ```text
//! Asked (arguments) ──► survey, refusals ──► Going ──► while the VM boots: packs are made
//!                                              └──► place: one stream, then the record of what was sent
//! Against (arguments) ──► the guest's git ──► checker ──► Came: a patch that may be seen
//! ```

mod answer;
mod asked;
mod coming;
mod going;
mod guest_files;
mod record;
mod surroundings;

pub use asked::Asked;
pub use coming::{Against, Came, needs_consent};
pub use going::{Going, Gone};
pub use surroundings::surround;
