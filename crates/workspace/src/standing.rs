//! State of files that git does not report, because a flag hides them or it cannot tell.
//!
//! | told or not | here |
//! |---|---|
//! | skip-worktree, assume-unchanged | an existing file is sent as on the disk; the guest's index gets the flag |
//! | content filters, which are never run | a filtered file whose time alone differs counts as unchanged |

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::attributes;
use crate::error::WorkspaceError;
use crate::pack::Objects;
use crate::repository::Repository;
use crate::root::{Kind, Opened, Root};
use crate::tracked::{self, GITLINK, RepoPath, Stands, Tracked};

/// Largest pointer of Git LFS (its specification).
const MAX_POINTER: u64 = 1024;

/// Marks entries that are kept out of the work tree and are not there. Answers the paths that git was told not to look
/// at, of which the disk decides.
pub(crate) fn hidden(
    repository: &Repository,
    tracked: &mut [Tracked],
) -> Result<BTreeSet<RepoPath>, WorkspaceError> {
    let mut hidden = BTreeSet::new();
    if !tracked.iter().any(|entry| entry.flags.hide()) {
        return Ok(hidden);
    }
    let root = Root::open(repository.top())?;
    // In a sparse checkout whole folders are absent: each is looked for once.
    let mut absent: HashSet<RepoPath> = HashSet::new();
    for entry in tracked.iter_mut() {
        if !entry.flags.hide() || entry.mode == GITLINK {
            continue;
        }
        let is_there = is_there(&root, &entry.path, &mut absent)?;
        entry.kept_out = entry.flags.skip_worktree && !is_there;
        if !entry.kept_out {
            hidden.insert(entry.path.clone());
        }
    }
    let paths: Vec<_> = hidden.iter().collect();
    let recorded = tracked::recorded(repository, &paths)?;
    for entry in tracked
        .iter_mut()
        .filter(|entry| hidden.contains(&entry.path))
    {
        let recorded = recorded.get(&entry.path);
        entry.flags.intent_to_add |= recorded.is_some_and(|recorded| recorded.intent_to_add);
    }
    Ok(hidden)
}

fn is_there(
    root: &Root,
    path: &[u8],
    absent: &mut HashSet<RepoPath>,
) -> Result<bool, WorkspaceError> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (cut, _) in slashes {
        if absent.contains(&path[..cut]) {
            return Ok(false);
        }
    }
    let found = matches!(root.kind(path)?, Kind::File | Kind::Link);
    if !found && let Some(cut) = path.iter().rposition(|byte| *byte == b'/') {
        let folder = &path[..cut];
        if root.kind(folder)? != Kind::Directory {
            absent.insert(folder.to_vec());
        }
    }
    Ok(found)
}

/// Takes out of the changed files those that go through a content filter and differ from the index in time alone.
pub(crate) fn settle_filtered(
    repository: &Repository,
    tracked: &[Tracked],
    stands: &mut Stands,
) -> Result<(), WorkspaceError> {
    let filters = repository.config.filters();
    if filters.is_empty() || stands.changed.is_empty() {
        return Ok(());
    }
    let paths: Vec<_> = stands.changed.iter().collect();
    let attributes = attributes::of(&repository.git, &paths)?;
    let filtered = attributes.into_iter().filter(|(_, of)| {
        let name = of.filter();
        name.is_some_and(|name| filters.contains(name))
    });
    let filtered: BTreeSet<_> = filtered.map(|(path, _)| path).collect();
    if filtered.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = filtered.iter().collect();
    let recorded = tracked::recorded(repository, &names)?;
    let root = Root::open(repository.top())?;
    let mut objects = Objects::open(&repository.git)?;
    for entry in tracked.iter().filter(|entry| entry.stage == 0) {
        if !filtered.contains(&entry.path) {
            continue;
        }
        let Opened::File(file, stat) = root.opened(&entry.path)? else {
            continue;
        };
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let is_same = match pointer(&mut objects, &entry.oid)? {
            Some(pointer) => {
                pointer.size == size && pointer.sha256 == crate::digest::of(file, &entry.path)?
            }
            None => recorded
                .get(&entry.path)
                .is_some_and(|recorded| recorded.size == size),
        };
        let mode_differs =
            repository.trusts_modes() && entry.mode != tracked::mode_of_file(stat.st_mode);
        if is_same && !mode_differs {
            stands.changed.remove(&entry.path);
        }
    }
    Ok(())
}

/// Git LFS's stand-in for a file.
struct Pointer {
    sha256: String,
    size: u64,
}

fn pointer(objects: &mut Objects, oid: &str) -> Result<Option<Pointer>, WorkspaceError> {
    let size = objects.blob(oid)?;
    let mut content = Vec::new();
    if size > MAX_POINTER {
        objects.content(size, &mut std::io::sink())?;
        return Ok(None);
    }
    objects.content(size, &mut content)?;
    let text = String::from_utf8_lossy(&content);
    if !text.starts_with("version https://git-lfs.github.com/spec/") {
        return Ok(None);
    }
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let sha256 = value("oid sha256:").map(str::to_owned);
    let size = value("size ").and_then(|size| size.parse().ok());
    Ok(sha256
        .zip(size)
        .map(|(sha256, size)| Pointer { sha256, size }))
}

/// Sockets, fifos and devices in the place of files that may differ.
pub(crate) fn special(top: &Path, changed: &BTreeSet<RepoPath>) -> Vec<RepoPath> {
    let is_special = |path: &&RepoPath| {
        let found = std::fs::symlink_metadata(top.join(crate::survey::as_path(path)));
        found.is_ok_and(|found| {
            let kind = found.file_type();
            !kind.is_file() && !kind.is_symlink() && !kind.is_dir()
        })
    };
    changed.iter().filter(is_special).cloned().collect()
}
