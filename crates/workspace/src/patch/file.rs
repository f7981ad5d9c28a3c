//! One file of a patch, and the whole.

use std::ops::Range;

use crate::tracked::{LINK, RepoPath};

/// Change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is new.
    Added,
    /// It is removed.
    Deleted,
    /// Its content or mode changes.
    Modified,
}

/// One file of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Its path.
    pub path: RepoPath,
    /// Kind of the change.
    pub how: How,
    /// Its mode before; 0 when it is new.
    pub old_mode: u32,
    /// Its mode afterwards; 0 when it is removed.
    pub new_mode: u32,
    /// Number of added lines.
    pub added: u64,
    /// Number of removed lines.
    pub removed: u64,
    /// True when its content is not text.
    pub binary: bool,
}

/// Reason for which a user must approve a file before the patch is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It becomes a program.
    Executable,
    /// Other programs run or obey it unasked.
    Obeyed,
    /// Agents take it as instructions.
    Instructions,
    /// It is a link.
    Link,
}

/// A patch that passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Its files, in order.
    pub files: Vec<FileChange>,
    /// Bytes of the whole.
    pub bytes: u64,
    /// Bytes of the patch that belong to these files, when some of its files were left out.
    pub(super) kept: Option<Vec<Range<usize>>>,
    /// Files that were left out.
    pub left_out: usize,
}

impl Patch {
    /// Of the bytes that were checked, those of the files that were not left out.
    pub fn cut(&self, bytes: Vec<u8>) -> Vec<u8> {
        match &self.kept {
            None => bytes,
            Some(kept) => {
                let pieces = kept.iter().filter_map(|range| bytes.get(range.clone()));
                pieces.flatten().copied().collect()
            }
        }
    }
}

impl FileChange {
    pub(super) fn makes_link(&self) -> bool {
        self.new_mode == LINK
    }

    pub(super) fn removes_link(&self) -> bool {
        self.old_mode == LINK && self.how == How::Deleted
    }
}
