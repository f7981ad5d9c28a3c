//! Tracked and untracked files of a repository, and their state.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

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

/// The mode that git has for a file with these bits.
pub(crate) fn mode_of_file(st_mode: u32) -> u32 {
    match st_mode & 0o100 {
        0 => FILE,
        _ => EXECUTABLE,
    }
}

/// A path below a repository's top, names joined by `/`.
pub type RepoPath = Vec<u8>;

/// One entry of an index or a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Its path.
    pub path: RepoPath,
    /// Its mode, as git writes it.
    pub mode: u32,
    /// Its content.
    pub oid: Oid,
    /// 0, or 1 to 3 while it is in conflict.
    pub stage: u8,
    /// Its flags.
    pub flags: Flags,
    /// It is kept out of the work tree, and is not there.
    pub kept_out: bool,
}

/// Flags that a user set on an entry (git-update-index(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// It is kept out of the work tree on purpose: by a sparse checkout, or by hand.
    pub skip_worktree: bool,
    /// Its file is not looked at.
    pub assume_unchanged: bool,
    /// It is to be added, and its content is not staged yet.
    pub intent_to_add: bool,
}

impl Flags {
    /// git does not say how its file stands.
    pub(crate) fn hide(self) -> bool {
        self.skip_worktree || self.assume_unchanged
    }
}

/// State of an index's files, by the file system's metadata.
#[derive(Debug, Default)]
pub(crate) struct Stands {
    /// Paths whose file may differ from the index; also those in conflict.
    pub(crate) changed: BTreeSet<RepoPath>,
    /// Of these, those that are to be added and are not staged.
    pub(crate) intended: BTreeSet<RepoPath>,
}

/// The index, in its order.
pub(crate) fn index(repository: &Repository) -> Result<Vec<Tracked>, GitError> {
    let listing = repository
        .git
        .output(&["ls-files", "-s", "-v", "-z", "--full-name"])?;
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
            flags: Flags {
                skip_worktree: tag.eq_ignore_ascii_case(&b'S'),
                assume_unchanged: tag.is_ascii_lowercase(),
                intent_to_add: false,
            },
            kept_out: false,
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
            flags: Flags::default(),
            kept_out: false,
        })
    });
    parsed
        .collect::<Option<_>>()
        .ok_or_else(|| unexpected("ls-tree"))
}

/// Reads the state of the index's files.
pub(crate) fn stands(repository: &Repository) -> Result<Stands, GitError> {
    let listing = repository.git.output(&[
        "diff-files",
        "--raw",
        "-z",
        "--no-renames",
        "--no-ext-diff",
        "--ignore-submodules=all",
    ])?;
    let mut fields = listing.split(|byte| *byte == 0);
    let mut stands = Stands::default();
    while let (Some(entry), Some(path)) = (fields.next(), fields.next()) {
        if entry.first() != Some(&b':') {
            return Err(unexpected("diff-files"));
        }
        if entry.last() == Some(&b'A') {
            stands.intended.insert(path.to_vec());
        }
        stands.changed.insert(path.to_vec());
    }
    Ok(stands)
}

/// Metadata of a file in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Its size when git last looked.
    pub(crate) size: u64,
    /// It is to be added, and its content is not staged yet.
    pub(crate) intent_to_add: bool,
}

/// Reads the index's metadata of these files.
pub(crate) fn recorded(
    repository: &Repository,
    paths: &[&RepoPath],
) -> Result<BTreeMap<RepoPath, Recorded>, GitError> {
    // As git holds it in memory (git, read-cache-ll.h, CE_INTENT_TO_ADD).
    const INTENT_TO_ADD: u32 = 1 << 29;
    let git = repository.git.clone().env("GIT_LITERAL_PATHSPECS", "1");
    let mut all = BTreeMap::new();
    for paths in paths.chunks(256) {
        let args = ["ls-files", "--debug", "-z", "--full-name", "--"].map(OsString::from);
        let paths = paths.iter().map(|path| crate::survey::as_path(path).into());
        let args: Vec<_> = args.into_iter().chain(paths).collect();
        let listing = git.output(&args)?;
        // A path, NUL, lines of which the last one holds size and flags; the next path follows the last line's end.
        let mut rest = &listing[..];
        while let Some((path, behind)) = split_once(rest, 0) {
            let mark: &[u8] = b"  size: ";
            let at = behind.windows(mark.len()).position(|window| window == mark);
            let line = at.and_then(|at| split_once(&behind[at + mark.len()..], b'\n'));
            let (line, next) = line.ok_or_else(|| unexpected("ls-files"))?;
            let text = String::from_utf8_lossy(line);
            let (size, flags) = text
                .split_once('\t')
                .ok_or_else(|| unexpected("ls-files"))?;
            let flags = flags.strip_prefix("flags: ").unwrap_or_default();
            let flags = u32::from_str_radix(flags, 16).unwrap_or_default();
            let recorded = Recorded {
                size: size
                    .parse()
                    .map_err(|_not_a_number| unexpected("ls-files"))?,
                intent_to_add: flags & INTENT_TO_ADD != 0,
            };
            all.insert(path.to_vec(), recorded);
            rest = next;
        }
    }
    Ok(all)
}

/// Files and repositories that are neither tracked nor ignored.
#[derive(Debug, Default)]
pub(crate) struct Untracked {
    /// Files.
    pub(crate) files: Vec<RepoPath>,
    /// Repositories inside that are not submodules.
    pub(crate) repositories: Vec<RepoPath>,
}

/// Lists files and repositories that are neither tracked nor ignored.
pub(crate) fn untracked(repository: &Repository) -> Result<Untracked, GitError> {
    let listing =
        repository
            .git
            .output(&["ls-files", "-o", "--exclude-standard", "-z", "--full-name"])?;
    let mut untracked = Untracked::default();
    for path in listing.split(|byte| *byte == 0) {
        match path.strip_suffix(b"/") {
            Some(folder) => untracked.repositories.push(folder.to_vec()),
            None if path.is_empty() => {}
            None => untracked.files.push(path.to_vec()),
        }
    }
    Ok(untracked)
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
