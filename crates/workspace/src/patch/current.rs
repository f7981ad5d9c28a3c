//! The file that a checker is reading, until its lines make a whole.

use super::file::{FileChange, How};
use super::header;
use crate::tracked::{LINK, RepoPath};

/// The file that is being read.
#[derive(Debug, Default)]
pub(super) struct Current {
    pub(super) path: RepoPath,
    pub(super) new_file: Option<u32>,
    pub(super) deleted: Option<u32>,
    pub(super) old_mode: Option<u32>,
    pub(super) new_mode: Option<u32>,
    pub(super) index: Option<header::Index>,
    pub(super) hunks: u64,
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) context: u64,
    pub(super) binary: bool,
    /// Target of a link, as far as it was read.
    pub(super) target: Vec<u8>,
    /// The last line has no end, on which side.
    pub(super) last: u8,
    pub(super) unended: bool,
}

impl Current {
    pub(super) fn kept_mode(&self) -> Option<u32> {
        self.index.and_then(|index| index.mode)
    }

    pub(super) fn is_link(&self) -> bool {
        [self.new_file, self.new_mode, self.kept_mode()].contains(&Some(LINK))
    }

    /// The file as a whole, when its lines make sense together.
    pub(super) fn complete(&self, no_content: bool) -> Result<FileChange, &'static str> {
        let (how, old_mode, new_mode) =
            match (self.new_file, self.deleted, self.old_mode, self.new_mode) {
                (Some(mode), None, None, None) => (How::Added, 0, mode),
                (None, Some(mode), None, None) => (How::Deleted, mode, 0),
                (None, None, Some(old), Some(new)) => (How::Modified, old, new),
                (None, None, None, None) => match self.kept_mode() {
                    Some(mode) => (How::Modified, mode, mode),
                    None => return Err("it changes without a mode"),
                },
                _ => return Err("its modes do not go together"),
            };
        if how == How::Modified && (old_mode == LINK) != (new_mode == LINK) {
            return Err("it changes its kind");
        }
        if self.kept_mode().is_some() && (how != How::Modified || self.old_mode.is_some()) {
            return Err("its modes do not go together");
        }
        let empty = self.hunks == 0 && !self.binary;
        if empty && !no_content {
            return Err("its content is missing");
        }
        let fits = match (how, self.index) {
            // A new mode alone.
            (How::Modified, None) => self.old_mode != self.new_mode,
            (How::Modified, Some(_)) => false,
            (How::Added, index) => index.is_some_and(|index| index.new_is_empty),
            (How::Deleted, index) => index.is_some_and(|index| index.old_is_empty),
        };
        if empty && !fits {
            return Err("its content is missing");
        }
        if (how == How::Added && self.removed + self.context > 0)
            || (how == How::Deleted && self.added + self.context > 0)
        {
            return Err("its content does not fit");
        }
        Ok(FileChange {
            path: self.path.clone(),
            how,
            old_mode,
            new_mode,
            added: self.added,
            removed: self.removed,
            binary: self.binary,
        })
    }
}
