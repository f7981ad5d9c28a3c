//! One repository of the host: its place, its format, its checked-out commit.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{GitError, WorkspaceError};
use crate::git::Git;
use crate::git_dir::GitDirs;

/// An object's name, in hexadecimal digits.
pub type Oid = String;

/// Format of a repository's object names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFormat {
    /// SHA-1, 40 digits.
    Sha1,
    /// SHA-256, 64 digits.
    Sha256,
}

impl ObjectFormat {
    /// Digits of an object's name.
    pub fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }

    /// git's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Tells whether a text is an object's name.
    pub fn is_oid(self, text: &str) -> bool {
        is_oid(text) && text.len() == self.digits()
    }
}

/// Tells whether a text is an object's name in either format.
pub fn is_oid(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One repository of the host.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Runs git at its top directory.
    pub git: Git,
    /// Paths of its administration.
    pub(crate) dirs: GitDirs,
    /// Format of its object names.
    pub format: ObjectFormat,
    /// The commit that is checked out; none in a repository without commits.
    pub head: Option<Oid>,
    /// The branch that is checked out; none when HEAD is detached.
    pub branch: Option<String>,
    /// Its configuration, as git merges it.
    pub config: Config,
}

impl Repository {
    /// The repository that `path` is in.
    ///
    /// # Errors
    /// There is none, it is bare, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, WorkspaceError> {
        Self::open_named(path, None)
    }

    /// The repository that `path` is in, whose git directory may be `named` even when it does not point back.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_named(path: &Path, named: Option<&Path>) -> Result<Self, WorkspaceError> {
        let metadata = std::fs::metadata(path).map_err(|source| WorkspaceError::Path {
            path: path.to_owned(),
            source,
        })?;
        if !metadata.is_dir() {
            return Err(WorkspaceError::Path {
                path: path.to_owned(),
                source: std::io::ErrorKind::NotADirectory.into(),
            });
        }
        let git = Git::new(path);
        let kind = match git.output(&["rev-parse", "--is-bare-repository", "--is-inside-git-dir"]) {
            Err(GitError::Failed { message, .. }) if message.contains("not a git repository") => {
                return Err(WorkspaceError::NoRepository(path.to_owned()));
            }
            Err(GitError::Failed { message, .. }) if message.contains("dubious ownership") => {
                return Err(WorkspaceError::Owner(top_above(path)));
            }
            other => other?,
        };
        if kind.starts_with(b"true") {
            return Err(WorkspaceError::Bare(path.to_owned()));
        }
        if kind.ends_with(b"true\n") {
            return Err(WorkspaceError::InsideGit(path.to_owned()));
        }
        let [top, dir, common] = places(&git)?;
        let dirs = GitDirs::new(&git, dir, common);
        dirs.check(&git, &top, named)?;
        let config = Config::parse(&git.output(&["config", "--list", "-z", "--show-scope"])?);
        let git = config
            .filters()
            .iter()
            .flat_map(|name| {
                [
                    (format!("filter.{name}.clean"), ""),
                    (format!("filter.{name}.smudge"), ""),
                    (format!("filter.{name}.process"), ""),
                    (format!("filter.{name}.required"), "false"),
                ]
            })
            .fold(Git::new(top), |git, (key, value)| git.set(key, value));
        let format = match git.line(&["rev-parse", "--show-object-format"])?.as_deref() {
            Some("sha256") => ObjectFormat::Sha256,
            _ => ObjectFormat::Sha1,
        };
        let branch = git.line(&["symbolic-ref", "-q", "HEAD"])?;
        let branch = branch.and_then(|name| name.strip_prefix("refs/heads/").map(str::to_owned));
        let head = git.line(&["rev-parse", "-q", "--verify", "HEAD^{commit}"])?;
        Ok(Self {
            git,
            dirs,
            format,
            head,
            branch,
            config,
        })
    }

    /// True when the file system keeps the executable bit (core.fileMode).
    pub(crate) fn trusts_modes(&self) -> bool {
        !self.config.is_off("core.filemode")
    }

    /// True when the file system keeps links (core.symlinks).
    pub(crate) fn has_links(&self) -> bool {
        !self.config.is_off("core.symlinks")
    }

    /// Its top directory.
    pub fn top(&self) -> &Path {
        self.git.dir()
    }

    /// The commit that `rev` names.
    ///
    /// # Errors
    /// It names none.
    pub fn commit(&self, rev: &str) -> Result<Oid, WorkspaceError> {
        let spec = format!("{rev}^{{commit}}");
        let found = self
            .git
            .line(&["rev-parse", "-q", "--verify", "--end-of-options", &spec]);
        match found {
            Ok(Some(oid)) if self.format.is_oid(&oid) => Ok(oid),
            Ok(_) | Err(GitError::Failed { .. }) => Err(WorkspaceError::Asked(format!(
                "{} has no commit \"{rev}\"",
                self.top().display()
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Commits whose parents this repository itself does not have.
    ///
    /// # Errors
    /// Its list cannot be read.
    pub fn own_shallow(&self) -> Result<BTreeSet<Oid>, WorkspaceError> {
        let path = self.dirs.common.join("shallow");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text
                .lines()
                .filter(|line| self.format.is_oid(line))
                .map(str::to_owned)
                .collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(WorkspaceError::file("read", path)(error)),
        }
    }
}

/// Its top directory, its git directory, and the one that its worktrees share.
fn places(git: &Git) -> Result<[PathBuf; 3], GitError> {
    const WORDS: [&str; 3] = ["--show-toplevel", "--absolute-git-dir", "--git-common-dir"];
    let all = git.output(&["rev-parse", WORDS[0], WORDS[1], WORDS[2]])?;
    let lines: Vec<_> = all.split_inclusive(|byte| *byte == b'\n').collect();
    if let [top, dir, common] = lines[..] {
        return Ok([top, dir, common].map(|line| one_path(line.to_vec())));
    }
    // A path holds a line end: one by one.
    let mut places = [PathBuf::new(), PathBuf::new(), PathBuf::new()];
    for (place, word) in places.iter_mut().zip(WORDS) {
        *place = one_path(git.output(&["rev-parse", word])?);
    }
    Ok(places)
}

/// The folder around a path that has a `.git`; the path itself when there is none.
fn top_above(path: &Path) -> PathBuf {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let top = full.ancestors().find(|folder| folder.join(".git").exists());
    top.map_or_else(|| full.clone(), Path::to_owned)
}

/// A path that git printed, with its line end.
pub(crate) fn one_path(mut bytes: Vec<u8>) -> PathBuf {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    OsString::from_vec(bytes).into()
}
