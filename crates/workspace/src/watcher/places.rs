//! Folders whose events can change what is sent.
//!
//! | folder | when |
//! |---|---|
//! | those of tracked files, and those around them | always |
//! | all others that git does not ignore | untracked files are sent |
//! | of each `.git`: itself, `info`, `refs/heads` and what is in it, `reftable` | always: commits, branches, what is staged, rules |
//!
//! Ignored folders (`node_modules`, `target`) cost no watch.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::error::WorkspaceError;
use crate::survey::{Part, Survey, as_path};
use crate::tracked::RepoPath;

/// Files of a git directory that say what is checked out, what is staged, and how files are read.
pub(super) const GIT_FILES: [&str; 9] = [
    "HEAD",
    "index",
    "config",
    "config.worktree",
    "packed-refs",
    "shallow",
    "exclude",
    "attributes",
    "sparse-checkout",
];
/// Folders in folders, at most (PATH_MAX is 4096 bytes).
const MAX_DEPTH: usize = 1024;

/// Content of a watched folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Files of the work tree.
    Tree,
    /// A git directory, or its `info`.
    Git,
    /// Branches.
    Refs,
}

/// Files that git tracks and that are sent, by their paths on this host.
pub(super) fn files(survey: &Survey) -> HashSet<PathBuf> {
    let of = |part: &'_ Part| {
        let top = part.repository.top().to_owned();
        let sent = part.tracked.iter().filter(|entry| part.goes(entry));
        let paths = sent.map(move |entry| top.join(as_path(&entry.path)));
        paths.collect::<Vec<_>>()
    };
    survey.parts.iter().flat_map(of).collect()
}

/// All folders to watch.
pub(super) fn places(survey: &Survey) -> Result<BTreeMap<PathBuf, Kind>, WorkspaceError> {
    let mut places = BTreeMap::new();
    for part in &survey.parts {
        let top = part.repository.top();
        for folder in folders_of_tracked(part) {
            places.insert(top.join(as_path(folder)), Kind::Tree);
        }
        places.insert(top.to_owned(), Kind::Tree);
        if survey.wanted.include_untracked {
            let left_out = left_out(part)?;
            walk(top, &left_out, 0, &mut |folder| {
                places.insert(folder, Kind::Tree);
            });
        }
        let dirs = &part.repository.dirs;
        for dir in [&dirs.dir, &dirs.common] {
            places.insert(dir.clone(), Kind::Git);
            places.insert(dir.join("info"), Kind::Git);
        }
        for refs in ["refs/heads", "reftable"] {
            walk(&dirs.common.join(refs), &HashSet::new(), 0, &mut |folder| {
                places.insert(folder, Kind::Refs);
            });
        }
    }
    Ok(places)
}

/// The folders of a repository's tracked files, and those around them.
fn folders_of_tracked(part: &Part) -> BTreeSet<&[u8]> {
    let mut folders = BTreeSet::new();
    for entry in &part.tracked {
        let mut path = &entry.path[..];
        while let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
            path = &path[..slash];
            if !folders.insert(path) {
                break;
            }
        }
    }
    folders
}

/// Folders of a repository that hold nothing to send: ignored ones, and other repositories.
fn left_out(part: &Part) -> Result<HashSet<PathBuf>, WorkspaceError> {
    let args = [
        "ls-files",
        "-o",
        "-i",
        "--exclude-standard",
        "--directory",
        "-z",
        "--full-name",
    ];
    let listing = part.repository.git.output(&args)?;
    let ignored = listing.split(|byte| *byte == 0);
    let ignored = ignored.filter_map(|path| path.strip_suffix(b"/").map(<[u8]>::to_vec));
    let others = part.nested.iter().cloned();
    let submodules = part.gitlinks().map(|link| link.path.clone());
    let all = ignored.chain(others).chain(submodules);
    let top = part.repository.top();
    Ok(all.map(|path: RepoPath| top.join(as_path(&path))).collect())
}

/// Tells of a folder and those in it. What cannot be listed has gone meanwhile, or is told by the survey.
fn walk(folder: &Path, left_out: &HashSet<PathBuf>, depth: usize, tell: &mut dyn FnMut(PathBuf)) {
    let Ok(listing) = std::fs::read_dir(folder) else {
        return;
    };
    tell(folder.to_owned());
    if depth == MAX_DEPTH {
        return;
    }
    for entry in listing.filter_map(Result::ok) {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if is_folder && entry.file_name() != ".git" && !left_out.contains(&path) {
            walk(&path, left_out, depth + 1, tell);
        }
    }
}
