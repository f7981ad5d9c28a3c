//! One file of a patch, and the whole.

use crate::tracked::{EXECUTABLE, LINK, RepoPath};

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is new.
    Added,
    /// It goes.
    Deleted,
    /// Its content or mode changes.
    Modified,
}

/// One file of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Where it is.
    pub path: RepoPath,
    /// What happens to it.
    pub how: How,
    /// Its mode before; 0 when it is new.
    pub old_mode: u32,
    /// Its mode afterwards; 0 when it goes.
    pub new_mode: u32,
    /// Lines that come.
    pub added: u64,
    /// Lines that go.
    pub removed: u64,
    /// Its content is not text.
    pub binary: bool,
}

/// Why a file wants a look before the patch is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It becomes a program.
    Executable,
    /// Other programs run or obey it unasked.
    Obeyed,
}

/// A patch that passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Its files, in order.
    pub files: Vec<FileChange>,
    /// Bytes of the whole.
    pub bytes: u64,
}

impl Patch {
    /// Files that want a look before the patch is applied, and why.
    pub fn consent(&self) -> Vec<(&FileChange, Consent)> {
        let wants = |file: &FileChange| {
            let was_run = file.old_mode == EXECUTABLE;
            if file.new_mode == EXECUTABLE && !was_run {
                return Some(Consent::Executable);
            }
            (file.how != How::Deleted && super::path::is_obeyed(&file.path))
                .then_some(Consent::Obeyed)
        };
        self.files
            .iter()
            .filter_map(|file| wants(file).map(|why| (file, why)))
            .collect()
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
