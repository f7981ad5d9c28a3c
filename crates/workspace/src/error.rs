//! Errors of this crate.

use std::io;
use std::path::PathBuf;

/// A failure of the host's git.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is none.
    #[error("git is not installed on this host")]
    Missing,
    /// It refused.
    #[error("git {command}: {message}")]
    Failed {
        /// Its subcommand.
        command: String,
        /// Its exit code.
        code: Option<i32>,
        /// Its own words, one line.
        message: String,
    },
    /// It could not be started or followed.
    #[error("git {command}")]
    Lost {
        /// Its subcommand.
        command: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It answered something that is not in its documentation.
    #[error("git {command}: {what}")]
    Unexpected {
        /// Its subcommand.
        command: &'static str,
        /// Fault of the answer.
        what: String,
    },
}

/// A repository cannot be brought into a guest.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// There is nothing there.
    #[error("{}", path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is no repository.
    #[error("{} is not in a git repository", .0.display())]
    NoRepository(PathBuf),
    /// It has no files of its own to work on.
    #[error("{} is a bare repository: it has no files to work on", .0.display())]
    Bare(PathBuf),
    /// It belongs to another user, and git reads such a repository only when its configuration says so.
    #[error("{} belongs to another user, so git does not read it", .0.display())]
    Owner(PathBuf),
    /// It is part of a repository's own administration.
    #[error("{} is inside of a repository's .git", .0.display())]
    InsideGit(PathBuf),
    /// Its `.git` leads to another repository, which does not know of it.
    #[error("{} leads to {}, which does not point back", link.display(), leads_to.display())]
    GitElsewhere {
        /// The file or link.
        link: PathBuf,
        /// The directory that it leads to.
        leads_to: PathBuf,
    },
    /// A submodule is there but cannot be read.
    #[error("submodule {path}: {why}")]
    Submodule {
        /// Its path in the repository.
        path: String,
        /// Cause, in words.
        why: String,
    },
    /// Something that the caller asked for does not exist, or two wishes exclude each other.
    #[error("{0}")]
    Asked(String),
    /// A file of the host.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The action that failed, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that cannot be in a guest.
    #[error("{path}: {why}")]
    Name {
        /// Its path in the repository.
        path: String,
        /// Cause, in words.
        why: String,
    },
    /// The kernel does not tell what changes in a folder.
    #[error("cannot watch {what} for changes")]
    Watch {
        /// The folder.
        what: String,
        /// The limit that was reached, if it was one.
        limit: Option<WatchLimit>,
        /// The system's answer.
        source: io::Error,
    },
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// The kernel's limits of watching, each for all processes of a user (inotify(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchLimit {
    /// Of folders.
    Folders,
    /// Of watchers.
    Watchers,
}

impl WatchLimit {
    /// Its sysctl.
    pub fn sysctl(self) -> &'static str {
        match self {
            Self::Folders => "fs.inotify.max_user_watches",
            Self::Watchers => "fs.inotify.max_user_instances",
        }
    }

    /// Its present value on this host; none: it cannot be read.
    pub fn now(self) -> Option<u64> {
        let path = format!("/proc/sys/{}", self.sysctl().replace('.', "/"));
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

impl WorkspaceError {
    pub(crate) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }
}
