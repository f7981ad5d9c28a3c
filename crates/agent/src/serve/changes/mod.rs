//! Changes of a tree since a host sent it.
//!
//! ```text
//! manifest ─┐
//! tree ─────┴► walk: one look at each name ──► changed, gone ──► tar stream
//!                └─ a name that nobody sent ──► rules (.gitignore) ──► index: does git track it all the same?
//! ```
//!
//! No file is read but those that go, and no program is started: a guest needs no git for this, and one that just
//! booted need not fetch it from its disk.

mod answer;
mod failed;
mod index;
mod rules;
mod walk;

pub(super) use answer::answer;
pub use index::names_in_index;
