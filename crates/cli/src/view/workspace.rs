//! Workspaces: what would go, what went.

use banger_api::vm::Vm;
use banger_api::{ByteSize, VmName};
use banger_workspace::Survey;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;
use crate::workspace::Gone;

/// What would go.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// Where it would go in the guest.
    guest_path: String,
    /// The commit that would be checked out.
    commit: Option<String>,
    /// The branch.
    branch: Option<String>,
    /// Files, below the workspace.
    files: Vec<String>,
    /// Files that are neither tracked nor ignored.
    untracked: usize,
}

impl Listing {
    /// Of a survey.
    pub fn of(survey: &Survey, dest: &str) -> Self {
        let shown = |path: Vec<u8>| String::from_utf8_lossy(&path).replace('\n', "\\n");
        Self {
            guest_path: dest.to_owned(),
            commit: survey.top().commit.clone(),
            branch: survey.top().branch.clone(),
            files: survey.paths().into_iter().map(shown).collect(),
            untracked: survey.untracked(),
        }
    }
}

impl Render for Listing {
    fn text(&self, page: &mut Page) {
        for file in &self.files {
            page.line(file);
        }
    }
}

/// What went.
#[derive(Debug, Serialize)]
pub struct Prepared {
    vm: VmName,
    guest_path: String,
    /// The commit that is checked out in the guest, before any that is made there.
    head_commit: Option<String>,
    branch: Option<String>,
    /// Files that went this time.
    files: usize,
    /// Files that were removed this time.
    removed: u64,
    /// All that went, in bytes.
    bytes: u64,
}

impl Prepared {
    /// Of what went.
    pub fn of(vm: &Vm, gone: &Gone) -> Self {
        Self {
            vm: vm.name.clone(),
            guest_path: gone.head.guest_path.clone(),
            head_commit: gone.head.commit.clone(),
            branch: gone.head.branch.clone(),
            files: gone.files,
            removed: gone.removed,
            bytes: gone.done.map_or(0, |done| done.bytes),
        }
    }
}

impl Render for Prepared {
    fn text(&self, page: &mut Page) {
        let (path, files) = (&self.guest_path, self.files);
        if self.bytes == 0 && self.removed == 0 {
            page.line(format!("{path} has everything"));
            return;
        }
        let removed = match self.removed {
            0 => String::new(),
            n => format!(", {n} removed"),
        };
        page.line(format!(
            "{path}: {files} files{removed}, {}",
            ByteSize(self.bytes)
        ));
    }
}
