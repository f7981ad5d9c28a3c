//! Repositories on their way into guests.
//!
//! ```text
//! Asked (arguments) ──► survey, refusals ──► Going ──► while the VM boots: packs are made
//!                        │                     └──► place: one stream, then the record of what was sent
//! Granted (arguments) ───┴──► Wishes: image, ports ──► the VM ──► set_up: owner, tools, commands that run once
//! Against (arguments) ──► what the agent says has changed, compared here ─┬─► checker ──► Came: a patch that may be seen
//!                     └► else the guest's git ────────────────────────────┘
//! ```

mod answer;
mod aside;
mod asked;
mod coming;
mod forwards;
mod going;
mod guest_files;
mod record;
mod returning;
mod setup;
mod surroundings;
mod tools;
mod wishes;

pub use asked::Asked;
pub use coming::{Against, Came, needs_consent};
pub use going::{Going, Gone};
pub use setup::Done;
pub use surroundings::{apply, folder, surround};
pub use wishes::{Granted, Wishes};
