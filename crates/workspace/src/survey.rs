//! Survey of the files to send, before a guest exists, so that all that can be refused is refused here.
//!
//! ```text
//! path ──► repository ──► tracked files, changed files, untracked files
//!              └──► each submodule that is checked out: the same, below its path
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{GitError, WorkspaceError};
use crate::repository::{Oid, Repository};
use crate::standing;
use crate::tracked::{self, EXECUTABLE, FILE, GITLINK, LINK, RepoPath, Stands, Tracked, Untracked};

/// Longest text of a link, in bytes (PATH_MAX with its NUL).
const MAX_TARGET: u64 = 4095;
/// Submodules in submodules, at most.
const MAX_SUBMODULE_DEPTH: usize = 16;

/// Depth of the history to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Commits from the tip, itself included.
    Commits(u32),
    /// All.
    Full,
}

/// Default depth of the history to send, in commits.
pub const DEFAULT_DEPTH: u32 = 10;

/// The caller's choices.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Depth of the history.
    pub depth: Depth,
    /// True when untracked files are also sent (ignored files never are).
    pub include_untracked: bool,
    /// The guest gets a new branch of this name.
    pub branch: Option<String>,
    /// The start of that branch, a revision instead of the checked-out commit; uncommitted changes stay behind.
    pub from: Option<String>,
    /// A git directory that the repository may lead to although it does not point back.
    pub git_dir: Option<PathBuf>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            depth: Depth::Commits(DEFAULT_DEPTH),
            include_untracked: false,
            branch: None,
            from: None,
            git_dir: None,
        }
    }
}

/// Source of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The work tree, with uncommitted changes.
    WorkTree,
    /// A commit.
    Commit(Oid),
}

/// One repository: the one that was asked for, or a submodule.
#[derive(Debug)]
pub struct Part {
    /// Path of its files below the workspace: empty, or a path that ends with `/`.
    pub prefix: RepoPath,
    /// The repository.
    pub repository: Repository,
    /// Source of its files.
    pub source: Source,
    /// The commit that is checked out in the guest.
    pub commit: Option<Oid>,
    /// The branch that is checked out in the guest; none: the commit itself.
    pub branch: Option<String>,
    /// Entries of its index or tree.
    pub tracked: Vec<Tracked>,
    /// Tracked files that may differ from the index.
    pub changed: BTreeSet<RepoPath>,
    /// Tracked files that git was told not to look at, and that exist on the disk or are gone from it: the disk counts.
    pub hidden: BTreeSet<RepoPath>,
    /// Tracked paths at which a socket, a fifo or a device is now.
    pub special: Vec<RepoPath>,
    /// Repositories inside that are no submodules.
    pub nested: Vec<RepoPath>,
    /// Files that are neither tracked nor ignored; they are sent on request.
    pub untracked: Vec<RepoPath>,
    /// Names of its submodules, with their paths.
    pub submodules: Vec<(String, RepoPath)>,
}

/// A workspace to send.
#[derive(Debug)]
pub struct Survey {
    /// Repositories, the outermost first.
    pub parts: Vec<Part>,
    /// Submodules that are not checked out here, and so are empty in the guest.
    pub absent_submodules: Vec<String>,
    /// The caller's choices.
    pub wanted: Wanted,
}

impl Survey {
    /// Looks at the repository that `path` is in.
    ///
    /// # Errors
    /// It is none, is bare, or something of it or of a submodule cannot be read; the wanted branch or revision makes no
    /// sense.
    pub fn take(path: &Path, wanted: Wanted) -> Result<Self, WorkspaceError> {
        let repository = Repository::open_named(path, wanted.git_dir.as_deref())?;
        let branch = match &wanted.branch {
            Some(name) => Some(checked_branch(&repository, name)?),
            None => repository.branch.clone(),
        };
        let head = repository.head.clone();
        let (source, commit) = match &wanted.from {
            None => (Source::WorkTree, head),
            Some(rev) => match repository.commit(rev)? {
                commit if head.as_ref() == Some(&commit) => (Source::WorkTree, head),
                commit => (Source::Commit(commit.clone()), Some(commit)),
            },
        };
        let mut survey = Self {
            parts: Vec::new(),
            absent_submodules: Vec::new(),
            wanted,
        };
        survey.add(Vec::new(), repository, source, commit, branch, 0)?;
        Ok(survey)
    }

    /// The outermost repository.
    ///
    /// # Panics
    /// Never: a survey has at least one part.
    #[allow(
        clippy::indexing_slicing,
        reason = "take() adds one part before it returns"
    )]
    pub fn top(&self) -> &Part {
        &self.parts[0]
    }

    /// Files that are neither tracked nor ignored, in all repositories.
    pub fn untracked(&self) -> usize {
        self.parts.iter().map(|part| part.untracked.len()).sum()
    }

    /// Repositories inside that stay behind, below the workspace.
    pub fn nested(&self) -> Vec<RepoPath> {
        self.below(|part| &part.nested)
    }

    /// Sockets, fifos and devices that stay behind, below the workspace.
    pub fn special(&self) -> Vec<RepoPath> {
        self.below(|part| &part.special)
    }

    /// Tracked files that are kept out of the work tree (sparse checkout, skip-worktree) and so stay behind.
    pub fn kept_out(&self) -> usize {
        let entries = self.parts.iter().flat_map(|part| &part.tracked);
        entries.filter(|entry| entry.kept_out).count()
    }

    /// History or files are missing here that a remote has.
    pub fn is_partial(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.repository.config.is_partial())
    }

    /// True while a git holds the lock of an index: the files are in the middle of a change.
    pub fn is_locked(&self) -> bool {
        let lock = |part: &Part| part.repository.dirs.dir.join("index.lock");
        self.parts
            .iter()
            .any(|part| lock(part).symlink_metadata().is_ok())
    }

    fn below(&self, list: impl Fn(&Part) -> &Vec<RepoPath>) -> Vec<RepoPath> {
        let parts = self.parts.iter().flat_map(|part| {
            let paths = list(part).iter();
            paths.map(|path| [&part.prefix[..], path].concat())
        });
        parts.collect()
    }

    /// Every path that is sent, below the workspace, in order.
    pub fn paths(&self) -> Vec<RepoPath> {
        let below = |part: &Part| {
            let wanted = self.wanted.include_untracked;
            let untracked = part.untracked.iter().filter(|_| wanted);
            let there = |path: &RepoPath| {
                let path = part.repository.top().join(as_path(path));
                std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir())
            };
            let tracked = part.tracked.iter().filter(|tracked| {
                let doubtful = part.changed.contains(&tracked.path) || tracked.flags.hide();
                part.goes(tracked) && (!doubtful || there(&tracked.path))
            });
            let paths = tracked.map(|tracked| &tracked.path).chain(untracked);
            paths
                .map(|path| [&part.prefix[..], path].concat())
                .collect::<Vec<_>>()
        };
        let all: BTreeSet<_> = self.parts.iter().flat_map(below).collect();
        all.into_iter().collect()
    }

    fn add(
        &mut self,
        prefix: RepoPath,
        repository: Repository,
        source: Source,
        commit: Option<Oid>,
        branch: Option<String>,
        depth: usize,
    ) -> Result<(), WorkspaceError> {
        let (mut tracked, mut stands, untracked) = match &source {
            Source::WorkTree => std::thread::scope(|scope| {
                let stands = scope.spawn(|| tracked::stands(&repository));
                let untracked = scope.spawn(|| tracked::untracked(&repository));
                let index = tracked::index(&repository)?;
                Ok::<_, GitError>((index, joined(stands)?, joined(untracked)?))
            })?,
            Source::Commit(commit) => (
                tracked::tree(&repository, commit)?,
                Stands::default(),
                Untracked::default(),
            ),
        };
        for entry in &mut tracked {
            entry.flags.intent_to_add = stands.intended.contains(&entry.path);
        }
        let hidden = standing::hidden(&repository, &mut tracked)?;
        standing::settle_filtered(&repository, &tracked, &mut stands)?;
        let special = standing::special(repository.top(), &stands.changed);
        let has_links = tracked.iter().any(|entry| entry.mode == GITLINK);
        let submodules = if has_links {
            tracked::submodules(&repository)?
        } else {
            Vec::new()
        };
        let part = Part {
            prefix,
            submodules,
            repository,
            source,
            commit,
            branch,
            tracked,
            hidden,
            special,
            changed: stands.changed,
            untracked: untracked.files,
            nested: untracked.repositories,
        };
        for tracked in &part.tracked {
            tracked::check_name(&[&part.prefix[..], &tracked.path].concat())?;
        }
        let links: Vec<_> = part.gitlinks().cloned().collect();
        let (top, prefix) = (part.repository.top().to_owned(), part.prefix.clone());
        let source = part.source.clone();
        self.parts.push(part);
        for link in links {
            let path = [&prefix[..], &link.path].concat();
            self.add_submodule(&top, &source, &link, path, depth)?;
        }
        Ok(())
    }

    fn add_submodule(
        &mut self,
        top: &Path,
        source: &Source,
        link: &Tracked,
        path: RepoPath,
        depth: usize,
    ) -> Result<(), WorkspaceError> {
        let shown = String::from_utf8_lossy(&path).into_owned();
        let refuse = |why: String| WorkspaceError::Submodule {
            path: shown.clone(),
            why,
        };
        if depth == MAX_SUBMODULE_DEPTH {
            return Err(refuse("submodules are nested too deeply".to_owned()));
        }
        let folder = top.join(as_path(&link.path));
        match std::fs::symlink_metadata(folder.join(".git")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.absent_submodules.push(shown);
                return Ok(());
            }
            Err(error) => return Err(refuse(error.to_string())),
            Ok(_) => {}
        }
        let repository = Repository::open(&folder).map_err(|error| refuse(told(&error)))?;
        // A `.git` that leads nowhere would have found the repository around it.
        let is_it = |top: &Path| top.canonicalize().ok() == folder.canonicalize().ok();
        if !is_it(repository.top()) {
            return Err(refuse("its repository is missing".to_owned()));
        }
        let (source, commit) = match source {
            Source::WorkTree => (Source::WorkTree, repository.head.clone()),
            Source::Commit(_) => {
                let commit = repository
                    .commit(&link.oid)
                    .map_err(|error| refuse(told(&error)))?;
                (Source::Commit(commit.clone()), Some(commit))
            }
        };
        let branch = repository
            .branch
            .clone()
            .filter(|_| source == Source::WorkTree);
        let prefix = [&path[..], b"/"].concat();
        self.add(prefix, repository, source, commit, branch, depth + 1)
            .map_err(|error| match error {
                WorkspaceError::Git(error) => refuse(error.to_string()),
                other => other,
            })
    }
}

impl Part {
    /// Entries that are submodules.
    pub fn gitlinks(&self) -> impl Iterator<Item = &Tracked> {
        self.tracked
            .iter()
            .filter(|tracked| tracked.mode == GITLINK)
    }

    /// Tells whether an entry is a file that is sent: the first entry of a conflict is, a submodule is not.
    pub(crate) fn goes(&self, tracked: &Tracked) -> bool {
        tracked.mode != GITLINK && !tracked.kept_out
    }

    /// Tells whether a path is sent with the index's content.
    pub(crate) fn is_as_indexed(&self, path: &RepoPath) -> bool {
        !self.changed.contains(path) && !self.hidden.contains(path)
    }

    /// The mode with which a file of the work tree is sent: git's view of it. When git is configured for a file system
    /// without modes, the index holds them.
    pub(crate) fn mode_of(&self, entry: Option<&Tracked>, st_mode: u32) -> u32 {
        let known = entry.filter(|entry| matches!(entry.mode, FILE | EXECUTABLE));
        match self.repository.trusts_modes() {
            true => tracked::mode_of_file(st_mode),
            false => known.map_or(FILE, |entry| entry.mode),
        }
    }

    /// Tells whether an unchanged file may be sent with this mode: where git takes modes from the index, the mode may
    /// have changed there alone.
    pub(crate) fn may_be(&self, entry: Option<&Tracked>, mode: u32) -> bool {
        let indexed = entry.map(|entry| entry.mode);
        self.repository.trusts_modes() || mode == LINK || indexed.unwrap_or(FILE) == mode
    }

    /// Tells whether a plain file stands for a link, because the file system has none (core.symlinks).
    pub(crate) fn stands_for_link(&self, entry: Option<&Tracked>, size: u64) -> bool {
        let is_link = entry.is_some_and(|entry| entry.mode == LINK);
        is_link && !self.repository.has_links() && (1..=MAX_TARGET).contains(&size)
    }
}

fn joined<T>(
    thread: std::thread::ScopedJoinHandle<'_, Result<T, GitError>>,
) -> Result<T, GitError> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn checked_branch(repository: &Repository, name: &str) -> Result<String, WorkspaceError> {
    let refused = || WorkspaceError::Asked(format!("\"{name}\" is not a name for a branch"));
    match repository.git.line(&["check-ref-format", "--branch", name]) {
        Ok(Some(same)) if same == name && !name.starts_with('-') => Ok(same),
        Ok(_) | Err(GitError::Failed { .. }) => Err(refused()),
        Err(error) => Err(error.into()),
    }
}

/// An error and its causes in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Bytes as a relative path of this host.
pub(crate) fn as_path(path: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(path))
}
