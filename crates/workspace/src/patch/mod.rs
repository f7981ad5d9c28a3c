//! Check of a patch from a guest, by our own rules, before any other program reads it.
//!
//! ```text
//! bytes ─► lines ─► checker: every line must be one that git writes at that place, with nothing between files
//!                     └─► path rules, link rules, sizes ─► Patch: its changes, and files that need consent
//!                           └─► paths that break a rule, all of them; those that were left out are not judged
//! ```
//!
//! Promises: a patch that passes is a sequence of complete `git diff --binary --full-index --no-renames` files; each
//! path in it is below the repository, not in a `.git` by any spelling, not behind a link; each link that it makes
//! stays inside; memory is bounded by the size that the caller allows.
//!
//! Must not: skip a line because it looks harmless: `git apply` may read a line that we skip.

mod base85;
mod behind_links;
mod binary;
mod checker;
mod consent;
mod current;
mod error;
mod file;
mod header;
mod obeyed;
mod path;
mod quoted;

pub use checker::Checker;
pub use consent::Approval;
pub(crate) use error::Offences;
pub use error::{Offence, PatchError};
pub use file::{Consent, FileChange, How, Patch};
pub use path::{check_link, check_path};

/// Limits of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchLimits {
    /// Bytes of the whole, and of all binary files that it makes together.
    pub bytes: u64,
    /// Files.
    pub files: usize,
}

impl Default for PatchLimits {
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            files: 200_000,
        }
    }
}
