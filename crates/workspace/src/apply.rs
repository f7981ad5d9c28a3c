//! A patch that passed, applied to the host's files: all of it or nothing.
//!
//! ```text
//! patch ─► git apply --check, filters off ─┬─► git apply
//!                                          └─► refused: the paths that are not as they were sent
//! ```
//!
//! Filters are off because both sides of a filtered file are its bytes on the disk (see [`crate::Filtered::AsSent`]).

use std::path::Path;

use crate::error::{GitError, WorkspaceError};
use crate::patch::{How, Patch};
use crate::record::Record;
use crate::repository::Repository;
use crate::root::{Opened, Root};
use crate::tracked::RepoPath;

/// Refusal or failure of a patch's application.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Files of the host are not as they were sent, and the patch does not fit them.
    #[error("{why}")]
    Conflict {
        /// The files; none when only git's message is known.
        paths: Vec<RepoPath>,
        /// The beginning of git's message.
        why: String,
    },
    /// The repository cannot be read or written.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// Applies the bytes of a patch to the repository that a record is about.
///
/// # Errors
/// See [`ApplyError`]; then nothing was changed.
pub fn apply(record: &Record, patch: &Patch, bytes: &[u8]) -> Result<(), ApplyError> {
    let source = Path::new(&record.head.source);
    let repository = Repository::open(source)?;
    let git = &repository.git;
    let check = ["apply", "--whitespace=nowarn", "--check", "-"];
    match git.fed(&check, bytes.to_vec()) {
        Ok(_) => {}
        Err(GitError::Failed { message, .. }) => {
            return Err(ApplyError::Conflict {
                paths: differing(record, patch, source)?,
                why: message,
            });
        }
        Err(error) => return Err(WorkspaceError::from(error).into()),
    }
    git.fed(&["apply", "--whitespace=nowarn", "-"], bytes.to_vec())
        .map_err(WorkspaceError::from)?;
    Ok(())
}

/// Files of a patch whose host copies differ from the sent ones.
fn differing(
    record: &Record,
    patch: &Patch,
    source: &Path,
) -> Result<Vec<RepoPath>, WorkspaceError> {
    let root = Root::open(source)?;
    let mut differing = Vec::new();
    for file in &patch.files {
        let digest = match root.opened(&file.path)? {
            Opened::File(content, _) => Some(crate::digest::of(content, &file.path)?),
            Opened::Link(target, _) => Some(crate::digest::of_bytes(&target)),
            Opened::Directory | Opened::Other => Some(String::new()),
            Opened::Absent => None,
        };
        let sent = record.files.get(&file.path).map(|sent| &sent.sha256);
        let sent = sent.filter(|_| file.how != How::Added || digest.is_some());
        if digest.as_ref() != sent {
            differing.push(file.path.clone());
        }
    }
    Ok(differing)
}
