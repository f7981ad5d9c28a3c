//! What a patch does beside the links that are there.

use std::collections::{BTreeMap, BTreeSet};

use super::PatchError;
use super::file::{FileChange, How};
use crate::tracked::RepoPath;

/// Nothing is written or removed behind a link, whether it was there or comes with the patch; and no path comes
/// twice, except as a file that goes and another that comes in its place.
pub(super) fn check_links(
    links: &BTreeSet<RepoPath>,
    files: &[FileChange],
) -> Result<(), PatchError> {
    let mut there = links.clone();
    let mut seen: BTreeMap<&RepoPath, How> = BTreeMap::new();
    for file in files {
        if file.removes_link() {
            there.remove(&file.path);
        }
        match (seen.insert(&file.path, file.how), file.how) {
            (None, _) | (Some(How::Deleted), How::Added) => {}
            _ => return Err(PatchError::path(&file.path, "it is in the patch twice")),
        }
    }
    there.extend(
        files
            .iter()
            .filter(|file| file.makes_link())
            .map(|file| file.path.clone()),
    );
    for file in files {
        let cuts = file
            .path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/');
        for (cut, _) in cuts {
            let folder = &file.path[..cut];
            let was_link = file.how != How::Added && links.contains(folder);
            if there.contains(folder) || was_link {
                return Err(PatchError::path(&file.path, "it is behind a link"));
            }
        }
    }
    Ok(())
}
