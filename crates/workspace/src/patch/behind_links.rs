//! Check of a patch against the links that exist.

use std::collections::{BTreeMap, BTreeSet};

use super::PatchError;
use super::error::Offences;
use super::file::{FileChange, How};
use crate::tracked::RepoPath;

/// Refuses a patch that writes or removes behind a link, old or new, or that names a path
/// twice, except for a removed file and another one in its place.
///
/// Removals behind a link that the patch makes come before the link: a folder becomes a link when all that
/// is in it is removed, and git removes before it creates (git, apply.c write_out_results).
pub(super) fn check_links(
    links: &BTreeSet<RepoPath>,
    files: &[FileChange],
    offences: &mut Offences,
) -> Result<(), PatchError> {
    let mut there = links.clone();
    let mut seen: BTreeMap<&RepoPath, How> = BTreeMap::new();
    for file in files {
        if file.removes_link() {
            there.remove(&file.path);
        }
        match (seen.insert(&file.path, file.how), file.how) {
            (None, _) | (Some(How::Deleted), How::Added) => {}
            _ => offences.add(PatchError::path(&file.path, "it is in the patch twice"))?,
        }
    }
    let made = files.iter().filter(|file| file.makes_link());
    there.extend(made.map(|file| file.path.clone()));
    for file in files {
        let cuts = file
            .path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/');
        for (cut, _) in cuts {
            let folder = &file.path[..cut];
            let was_link = links.contains(folder);
            let behind = match file.how {
                How::Added => there.contains(folder),
                How::Deleted => was_link,
                How::Modified => was_link || there.contains(folder),
            };
            if behind {
                offences.add(PatchError::path(&file.path, "it is behind a link"))?;
                break;
            }
        }
    }
    Ok(())
}
