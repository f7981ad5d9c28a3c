//! Check that a folder's `.git` is its own: a foreign archive may hold one that leads to another repository of this
//! host, whose history would then go into a guest.
//!
//! A `.git` that is a folder is its own. One that is a file or a link leads to a directory that must point back: a
//! worktree's `gitdir` names this `.git` (gitrepository-layout(5)), a submodule's `core.worktree` this folder. The
//! parts of a git directory lie in it, or in the one that its worktrees share.

use std::path::{Path, PathBuf};

use crate::error::WorkspaceError;
use crate::git::Git;
use crate::repository::one_path;

/// Parts of a git directory from which history and files are read.
const PARTS: &[&str] = &[
    "HEAD",
    "refs",
    "packed-refs",
    "reftable",
    "objects",
    "index",
    "config",
    "shallow",
];

/// Paths of a repository's administration, links resolved.
#[derive(Debug, Clone)]
pub(crate) struct GitDirs {
    /// That of this work tree: `HEAD`, `index`.
    pub(crate) dir: PathBuf,
    /// That which its worktrees share: `objects`, `refs`, `info`.
    pub(crate) common: PathBuf,
}

impl GitDirs {
    /// As git names them.
    pub(crate) fn new(git: &Git, dir: PathBuf, common: PathBuf) -> Self {
        Self {
            dir: canonical(&dir),
            common: canonical(&git.dir().join(common)),
        }
    }

    /// Refuses a `.git` that leads elsewhere, unless it leads to the directory that the user named.
    pub(crate) fn check(
        &self,
        git: &Git,
        top: &Path,
        named: Option<&Path>,
    ) -> Result<(), WorkspaceError> {
        check(git, (&self.dir, &self.common), top, named)
    }
}

fn check(
    git: &Git,
    (dir, common): (&Path, &Path),
    top: &Path,
    named: Option<&Path>,
) -> Result<(), WorkspaceError> {
    let link = top.join(".git");
    let elsewhere = |link: &Path, leads_to: &Path| WorkspaceError::GitElsewhere {
        link: link.to_owned(),
        leads_to: leads_to.to_owned(),
    };
    let is_named = |path: &Path| named.is_some_and(|named| canonical(named) == path);
    let is_folder = std::fs::symlink_metadata(&link).is_ok_and(|found| found.is_dir());
    if !is_folder && !is_named(dir) && !points_back(git, dir, top)? {
        return Err(elsewhere(&link, dir));
    }
    let is_worktree = dir.parent() == Some(&common.join("worktrees"));
    if common != dir && !is_worktree && !is_named(common) {
        return Err(elsewhere(&dir.join("commondir"), common));
    }
    for folder in [dir, common] {
        for part in PARTS {
            let part = folder.join(part);
            let leads_to = canonical(&part);
            let own = leads_to.starts_with(dir) || leads_to.starts_with(common);
            let is_elsewhere = !own && leads_to != part;
            if is_elsewhere && !named.is_some_and(|named| leads_to.starts_with(canonical(named))) {
                return Err(elsewhere(&part, &leads_to));
            }
        }
    }
    Ok(())
}

fn points_back(git: &Git, dir: &Path, top: &Path) -> Result<bool, WorkspaceError> {
    let top = canonical(top);
    if let Ok(text) = std::fs::read(dir.join("gitdir")) {
        let back = dir.join(one_path(text));
        let back = back.parent().map(canonical);
        return Ok(back.as_ref() == Some(&top));
    }
    // Reads this directory's own configuration only, none from elsewhere.
    let file = dir.join("config");
    let args = [
        "config",
        "--file",
        &file.to_string_lossy(),
        "--get",
        "core.worktree",
    ];
    let worktree = git.line(&args)?;
    Ok(worktree.is_some_and(|path| canonical(&dir.join(path)) == top))
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
