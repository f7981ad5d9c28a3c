//! Why a patch is refused.

/// Why a patch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A path leads where a patch has no business.
    #[error("the guest's patch names {path:?}: {why}")]
    Path {
        /// The path, as far as it can be shown.
        path: String,
        /// Why it is refused.
        why: &'static str,
    },
    /// A line is none that git writes there.
    #[error("the guest's patch: line {line}: {why}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// It is too large.
    #[error("the guest's patch has more than the {limit} {what} allowed")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// It ends too early.
    #[error("the guest's patch ends in the middle of a file")]
    Cut,
}

impl PatchError {
    pub(super) fn path(path: &[u8], why: &'static str) -> Self {
        let shown: String = String::from_utf8_lossy(path).chars().take(200).collect();
        Self::Path { path: shown, why }
    }
}
