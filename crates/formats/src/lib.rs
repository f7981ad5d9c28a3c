//! Golden files of stored and sent types: the forms that older builds wrote, which every later build reads.
//!
//! ```text
//! crates/<crate>/formats/v1/<name>.json    written once, never edited, read for ever
//!                        v2/<name>.json    only the forms that changed since
//! ```
//!
//! A test builds one full example of each stored type, every field set, without `..Default`, and asks
//! [`Golden::holds`]. So a change of a stored type is always seen:
//!
//! - a new field does not compile until the example has it, and then differs from the newest golden file;
//! - a removed or renamed field, at any depth, differs from it;
//! - a new variant does not compile until [`every_variant!`] names it, and then has no example.
//!
//! The change is made whole by a new version: `BANGER_NEW_FORMAT=2 cargo test` writes the files of version 2 that are
//! missing. It never writes over one. The test then compares the older ones with the values that they must be read as.
//!
//! It must not be linked into the product: it is for tests.

mod drift;
mod golden;
mod variants;

pub use drift::Drift;
pub use golden::Golden;
