//! Directories and files: making, publishing, syncing, removing.

use std::path::{Path, PathBuf};

use banger_store::Claim;
use serde::{Deserialize, Serialize};

use crate::layout::parent;
use crate::own::{OwnDir, OwnFile};
use crate::{Change, HostResult, StepBody, StepCx};

/// Makes a directory that the plan's owner claims with all that will be in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeDirectory {
    /// Its path; the parent exists.
    pub path: OwnDir,
    /// The stage under which users see it.
    pub stage: DirectoryStage,
}

/// Stages of directory steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectoryStage {
    /// Part of making a VM.
    Reserve,
    /// Part of cleaning up.
    CleanUp,
    /// Part of finishing something.
    Publish,
}

impl DirectoryStage {
    fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::CleanUp => "clean_up",
            Self::Publish => "publish",
        }
    }
}

impl StepBody for MakeDirectory {
    fn stage(&self) -> &'static str {
        self.stage.name()
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.path]
    }
    fn claims(&self) -> Vec<Claim> {
        vec![self.path.claim()]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.make_dir(&self.path)?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_tree(&self.path)?;
        cx.host.sync_dir(parent(&self.path))?;
        Ok(Vec::new())
    }
}

/// Makes files and their directory durable: after this a power cut leaves them whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncFiles {
    /// The directory.
    pub dir: PathBuf,
    /// Files in it.
    pub files: Vec<PathBuf>,
}

impl StepBody for SyncFiles {
    fn stage(&self) -> &'static str {
        "sync"
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        for file in &self.files {
            cx.host.sync_file(file)?;
        }
        cx.host.sync_dir(&self.dir)?;
        cx.host.sync_dir(parent(&self.dir))?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Gives a finished directory its place. Until this, nothing of it is visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishDirectory {
    /// Directory in which it was made; synced.
    pub from: OwnDir,
    /// Directory to which it belongs; absent, or left there by a crash of this very step.
    pub to: OwnDir,
}

impl StepBody for PublishDirectory {
    fn stage(&self) -> &'static str {
        "publish"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.to, &self.from]
    }
    fn claims(&self) -> Vec<Claim> {
        // Undone, both places are empty, so it releases both.
        vec![self.to.claim(), self.from.claim()]
    }
    fn releases(&self) -> Vec<Claim> {
        vec![self.from.claim()]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        if cx.host.exists(&self.from)? {
            cx.host.rename(&self.from, &self.to)?;
        }
        cx.host.sync_dir(parent(&self.to))?;
        cx.host.sync_dir(parent(&self.from))?;
        Ok(Vec::new())
    }
    fn revert(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        for path in [&self.to, &self.from] {
            cx.host.remove_tree(path)?;
            cx.host.sync_dir(parent(path))?;
        }
        Ok(Vec::new())
    }
}

/// Removes a file of a directory that is being removed. Only in delete plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveFile {
    /// The file; it may be absent.
    pub path: OwnFile,
}

impl StepBody for RemoveFile {
    fn stage(&self) -> &'static str {
        "clean_up"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.path]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_file(&self.path)?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}

/// Removes a directory with all in it, and releases its claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveDirectory {
    /// The directory; it may be absent.
    pub path: OwnDir,
}

impl StepBody for RemoveDirectory {
    fn stage(&self) -> &'static str {
        "clean_up"
    }
    fn removes(&self) -> Vec<&Path> {
        vec![&self.path]
    }
    fn releases(&self) -> Vec<Claim> {
        vec![self.path.claim()]
    }
    fn apply(&self, cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        cx.host.remove_tree(&self.path)?;
        cx.host.sync_dir(parent(&self.path))?;
        Ok(Vec::new())
    }
    fn revert(&self, _cx: &StepCx<'_>) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
}
