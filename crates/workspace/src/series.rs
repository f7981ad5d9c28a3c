//! Check that mails, applied one after the other, give the expected tree: tried in an index of our own.

use std::path::Path;

use crate::compare::repository;
use crate::compose::alternate;
use crate::error::{GitError, WorkspaceError};
use crate::git::Git;
use crate::repository::Oid;

/// The commit on which the mails will be applied.
#[derive(Debug)]
pub struct Series {
    git: Git,
    base: Oid,
    _folder: tempfile::TempDir,
}

impl Series {
    /// On a commit of the host's repository.
    ///
    /// # Errors
    /// The repository or the commit is not there.
    pub fn open(source: &Path, base: &str) -> Result<Self, WorkspaceError> {
        let host = Git::new(source);
        let folder = tempfile::Builder::new().prefix("banger-series-").tempdir();
        let folder = folder.map_err(WorkspaceError::file(
            "make a folder in",
            std::env::temp_dir(),
        ))?;
        let own = host.line(&["rev-parse", "--git-path", "objects"])?;
        let own = source.join(own.unwrap_or_default());
        let dir = folder.path().join("git");
        repository(&dir, base.len() == 64)?;
        let git = Git::new(folder.path())
            .set("core.attributesFile", "/dev/null")
            .env("GIT_DIR", &dir)
            .env("GIT_WORK_TREE", folder.path())
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternate(&own))
            .env("GIT_INDEX_FILE", folder.path().join("index"));
        git.output(&["cat-file", "-e", base])?;
        Ok(Self {
            git,
            base: base.to_owned(),
            _folder: folder,
        })
    }

    /// The tree that diffs come to; `None`: one of them does not apply.
    ///
    /// # Errors
    /// git's own.
    pub fn tree(&self, diffs: &[Vec<u8>]) -> Result<Option<Oid>, WorkspaceError> {
        self.git.output(&["read-tree", &self.base])?;
        for diff in diffs {
            let applied = self
                .git
                .fed(&["apply", "--cached", "--whitespace=nowarn"], diff.clone());
            match applied {
                Ok(_) => {}
                Err(GitError::Failed { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let tree = self.git.output(&["write-tree", "--missing-ok"])?;
        Ok(Some(String::from_utf8_lossy(&tree).trim().to_owned()))
    }
}
