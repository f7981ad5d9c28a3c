//! What a repository tracks, and how its files stand.

use std::collections::BTreeSet;

use crate::error::{GitError, WorkspaceError};
use crate::repository::{Oid, Repository};

/// Mode of a submodule's entry.
pub const GITLINK: u32 = 0o160_000;
/// Mode of a symbolic link.
pub const LINK: u32 = 0o120_000;
/// Mode of a file that may be run.
pub const EXECUTABLE: u32 = 0o100_755;
/// Mode of any other file.
pub const FILE: u32 = 0o100_644;

/// A path below a repository's top, names joined by `/`.
pub type RepoPath = Vec<u8>;

/// One entry of an index or a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Where it is.
    pub path: RepoPath,
    /// Its mode, as git writes it.
    pub mode: u32,
    /// Its content.
    pub oid: Oid,
    /// 0, or 1 to 3 while it is in conflict.
    pub stage: u8,
    /// It is kept out of the work tree on purpose (sparse checkout).
    pub skip_worktree: bool,
}

/// The index, in its order.
pub(crate) fn index(repository: &Repository) -> Result<Vec<Tracked>, GitError> {
    let listing = repository
        .git
        .output(&["ls-files", "-s", "-t", "-z", "--full-name"])?;
    let entries = listing
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty());
    let parsed = entries.map(|entry| {
        let (tag, rest) = (entry.first()?, entry.get(2..)?);
        let (words, path) = split_once(rest, b'\t')?;
        let words = std::str::from_utf8(words).ok()?;
        let mut words = words.split(' ');
        let (mode, oid, stage) = (words.next()?, words.next()?, words.next()?);
        Some(Tracked {
            path: path.to_vec(),
            mode: u32::from_str_radix(mode, 8).ok()?,
            oid: oid.to_owned(),
            stage: stage.parse().ok()?,
            skip_worktree: *tag == b'S',
        })
    });
    parsed
        .collect::<Option<_>>()
        .ok_or_else(|| unexpected("ls-files"))
}

/// The tree of a commit, in the order of an index.
pub(crate) fn tree(repository: &Repository, commit: &str) -> Result<Vec<Tracked>, GitError> {
    let listing = repository
        .git
        .output(&["ls-tree", "-r", "-z", "--full-tree", commit])?;
    let entries = listing
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty());
    let parsed = entries.map(|entry| {
        let (words, path) = split_once(entry, b'\t')?;
        let words = std::str::from_utf8(words).ok()?;
        let mut words = words.split(' ');
        let (mode, _kind, oid) = (words.next()?, words.next()?, words.next()?);
        Some(Tracked {
            path: path.to_vec(),
            mode: u32::from_str_radix(mode, 8).ok()?,
            oid: oid.to_owned(),
            stage: 0,
            skip_worktree: false,
        })
    });
    parsed
        .collect::<Option<_>>()
        .ok_or_else(|| unexpected("ls-tree"))
}

/// Paths whose file may differ from the index, by what the file system says of it; also those in conflict.
pub(crate) fn changed(repository: &Repository) -> Result<BTreeSet<RepoPath>, GitError> {
    let listing = repository.git.output(&[
        "diff-files",
        "--raw",
        "-z",
        "--no-renames",
        "--no-ext-diff",
        "--ignore-submodules=all",
    ])?;
    let mut fields = listing.split(|byte| *byte == 0);
    let mut paths = BTreeSet::new();
    while let (Some(entry), Some(path)) = (fields.next(), fields.next()) {
        if entry.first() != Some(&b':') {
            return Err(unexpected("diff-files"));
        }
        paths.insert(path.to_vec());
    }
    Ok(paths)
}

/// Files that are neither tracked nor ignored. Repositories inside that are not submodules are left out.
pub(crate) fn untracked(repository: &Repository) -> Result<Vec<RepoPath>, GitError> {
    let listing =
        repository
            .git
            .output(&["ls-files", "-o", "--exclude-standard", "-z", "--full-name"])?;
    let paths = listing.split(|byte| *byte == 0);
    Ok(paths
        .filter(|path| !path.is_empty() && path.last() != Some(&b'/'))
        .map(<[u8]>::to_vec)
        .collect())
}

/// Names of submodules with their paths, as `.gitmodules` has them (gitmodules(5)).
pub(crate) fn submodules(repository: &Repository) -> Result<Vec<(String, RepoPath)>, GitError> {
    if !repository.top().join(".gitmodules").is_file() {
        return Ok(Vec::new());
    }
    let pattern = r"^submodule\..*\.path$";
    let args = ["config", "-z", "-f", ".gitmodules", "--get-regexp", pattern];
    let listing = match repository.git.output(&args) {
        Err(GitError::Failed { code: Some(1), .. }) => Vec::new(),
        other => other?,
    };
    let entries = listing.split(|byte| *byte == 0);
    let named = entries.filter_map(|entry| {
        let (key, path) = split_once(entry, b'\n')?;
        let key = std::str::from_utf8(key).ok()?;
        let name = key.strip_prefix("submodule.")?.strip_suffix(".path")?;
        Some((name.to_owned(), path.to_vec()))
    });
    Ok(named.collect())
}

/// A path that the guest's protocol cannot carry is refused before anything is made.
pub(crate) fn check_name(path: &[u8]) -> Result<(), WorkspaceError> {
    banger_guest::TreePath::new(path)
        .map(drop)
        .map_err(|error| WorkspaceError::Name {
            path: String::from_utf8_lossy(path).into_owned(),
            why: error.to_string(),
        })
}

pub(crate) fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let cut = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..cut], &bytes[cut + 1..]))
}

fn unexpected(command: &'static str) -> GitError {
    GitError::Unexpected {
        command,
        what: "its answer cannot be read".to_owned(),
    }
}
