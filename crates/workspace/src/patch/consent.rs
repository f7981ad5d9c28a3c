//! Consent of the user before a patch is written: one rule for every client.

use super::file::{Consent, FileChange, Patch};
use super::obeyed;
use crate::pathspec::Pathspec;
use crate::tracked::{EXECUTABLE, LINK};

/// The user's approval.
#[derive(Debug, Clone, Default)]
pub struct Approval {
    /// Everything.
    pub all: bool,
    /// These paths.
    pub paths: Pathspec,
}

impl Approval {
    /// Tells whether a file is approved.
    pub fn covers(&self, path: &[u8]) -> bool {
        self.all || self.paths.names(path)
    }
}

impl Patch {
    /// Files that a user must approve of before the patch is applied, and why.
    pub fn consent(&self) -> Vec<(&FileChange, Consent)> {
        let wants = |file: &FileChange| {
            if file.new_mode == 0 {
                return None;
            }
            if file.new_mode == EXECUTABLE && file.old_mode != EXECUTABLE {
                return Some(Consent::Executable);
            }
            let obeyed = obeyed::why(&file.path);
            obeyed.or((file.new_mode == LINK).then_some(Consent::Link))
        };
        self.files
            .iter()
            .filter_map(|file| wants(file).map(|why| (file, why)))
            .collect()
    }

    /// Of these, those that were not approved of.
    pub fn unapproved(&self, approval: &Approval) -> Vec<(&FileChange, Consent)> {
        let mut files = self.consent();
        files.retain(|(file, _)| !approval.covers(&file.path));
        files
    }
}
