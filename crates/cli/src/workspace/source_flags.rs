//! The arguments about a repository that `vm run` and `vm workspace prepare` share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_api::{ApiError, ErrorCode};
use banger_workspace::{
    DEFAULT_DEPTH, Depth, GitError, Survey, Wanted, WatchLimit, WorkspaceError,
};

use super::export::some_paths;
use crate::context::Context;
use crate::counted::counted;
use crate::failure::{Failure, chain};

/// Parts of a repository that go into the guest.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "The repository")]
pub struct SourceFlags {
    /// Check out a new branch of this name in the guest
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Begin the new branch here; what is not committed stays behind
    #[arg(long, value_name = "REV", requires = "branch")]
    from: Option<String>,
    /// Number of commits of history to send, or "full" [default: 10]
    #[arg(long, value_name = "N", value_parser = depth)]
    depth: Option<Depth>,
    /// Also send untracked files (ignored files are never sent)
    #[arg(long)]
    include_untracked: bool,
    /// Name of the workspace's folder in the guest [default: the repository's]
    #[arg(long = "as", value_name = "NAME")]
    pub as_name: Option<String>,
    /// Accept this git directory, to which the folder's .git leads although it does not point back
    #[arg(long, value_name = "DIR")]
    git_dir: Option<PathBuf>,
    /// List what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl SourceFlags {
    /// The first of these arguments that was given: without a repository none means anything.
    pub fn given(&self) -> Option<&'static str> {
        [
            (self.branch.is_some(), "--branch"),
            (self.from.is_some(), "--from"),
            (self.depth.is_some(), "--depth"),
            (self.include_untracked, "--include-untracked"),
            (self.as_name.is_some(), "--as"),
            (self.git_dir.is_some(), "--git-dir"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }

    /// Looks at the repository, and says what the user should know of it.
    ///
    /// # Errors
    /// It cannot go, and why.
    pub async fn survey(self, path: &Path, context: &Context) -> Result<Arc<Survey>, Failure> {
        let wanted = Wanted {
            depth: self.depth.unwrap_or(Depth::Commits(DEFAULT_DEPTH)),
            include_untracked: self.include_untracked,
            branch: self.branch,
            from: self.from,
            git_dir: self.git_dir,
        };
        let path = path.to_owned();
        let taking = tokio::task::spawn_blocking(move || Survey::take(&path, wanted));
        let survey = match taking.await {
            Ok(survey) => survey.map_err(|error| failure(&error))?,
            Err(panic) => return Err(ApiError::new(ErrorCode::Internal, panic.to_string()).into()),
        };
        say(&survey, context);
        Ok(Arc::new(survey))
    }
}

/// Parts that stay behind, a line each.
fn say(survey: &Survey, context: &Context) {
    let count = survey.untracked();
    if count > 0 && !survey.wanted.include_untracked {
        let (files, them) = if count == 1 {
            ("file", "it")
        } else {
            ("files", "them")
        };
        context.output.note(&format!(
            "{count} untracked {files} not included: --include-untracked sends {them} too"
        ));
    }
    for path in &survey.absent_submodules {
        context.output.note(&format!(
            "submodule {path} is not checked out here, so its folder is empty in the guest"
        ));
    }
    for (paths, what) in [
        (survey.nested(), "a git repository of its own"),
        (survey.special(), "a socket, a fifo or a device"),
    ] {
        if !paths.is_empty() {
            let named = some_paths(paths.iter().map(|path| &path[..]));
            context
                .output
                .warn(&format!("not sent, for each is {what}: {named}"));
        }
    }
    let kept_out = survey.kept_out();
    if kept_out > 0 {
        context.output.note(&format!(
            "not sent: {} that git keeps out of this work tree (sparse checkout, skip-worktree)",
            counted(kept_out, "file")
        ));
    }
    if survey.is_partial() {
        context
            .output
            .note("this is a partial clone: history is sent as far back as all its files are here");
    }
    let top = survey.top();
    let stays = survey.wanted.from.is_some() && top.repository.head != top.commit;
    if stays {
        context
            .output
            .note("uncommitted changes stay behind: --from begins at a commit");
    }
}

/// A repository's error as users see it.
pub fn failure(error: &WorkspaceError) -> Failure {
    let code = match error {
        WorkspaceError::Path { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            ErrorCode::NotFound
        }
        WorkspaceError::Git(GitError::Missing | GitError::Lost { .. }) => ErrorCode::HostNotReady,
        WorkspaceError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            ErrorCode::NoSpace
        }
        WorkspaceError::File { .. } | WorkspaceError::Watch { .. } => ErrorCode::HostNotReady,
        _ => ErrorCode::InvalidArgument,
    };
    let owner;
    let hint = match error {
        WorkspaceError::NoRepository(_) => {
            Some("git init makes one; banger cp copies any folder into a VM")
        }
        WorkspaceError::Bare(_) => Some("git clone it, and give the clone"),
        WorkspaceError::Submodule { .. } => {
            Some("git submodule update --init --recursive, or git submodule deinit PATH")
        }
        WorkspaceError::Git(GitError::Missing) => Some("apt install git"),
        WorkspaceError::InsideGit(_) => Some("give the folder that the .git is in"),
        WorkspaceError::Owner(top) => {
            let top = top.display();
            owner = format!(
                "git config --global --add safe.directory '{top}', if you trust what is in it"
            );
            Some(&owner[..])
        }
        WorkspaceError::GitElsewhere { leads_to, .. } => {
            owner = format!(
                "--git-dir '{}' sends it all the same, with the history that is there",
                leads_to.display()
            );
            Some(&owner[..])
        }
        WorkspaceError::Watch {
            limit: Some(limit), ..
        } => {
            owner = raise(*limit);
            Some(&owner[..])
        }
        _ => None,
    };
    let error = ApiError::new(code, chain(error));
    Failure::from(match hint {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// The way to a higher limit of the kernel's.
fn raise(limit: WatchLimit) -> String {
    let (sysctl, more) = match limit {
        WatchLimit::Folders => (limit.sysctl(), 1_048_576),
        WatchLimit::Watchers => (limit.sysctl(), 1024),
    };
    let now = limit.now().map_or_else(String::new, |now| {
        format!("{now} are allowed to all programs of a user together: ")
    });
    format!(
        "{now}sudo sysctl {sysctl}={more} raises it, and a line \"{sysctl} = {more}\" in a file of /etc/sysctl.d keeps it so"
    )
}

fn depth(text: &str) -> Result<Depth, String> {
    match text {
        "full" => Ok(Depth::Full),
        number => match number.parse() {
            Ok(commits) if commits > 0 => Ok(Depth::Commits(commits)),
            _ => Err("use a number of commits, 1 or more, or full".to_owned()),
        },
    }
}
