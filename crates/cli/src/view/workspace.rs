//! Workspaces: what would go, what went, what was exported.

use banger_api::vm::Vm;
use banger_api::{ByteSize, VmName};
use banger_workspace::Survey;
use banger_workspace::patch::{Consent, How, Patch};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;
use crate::workspace::{Done, Exported, RepositoryRequests, Sent};

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
    /// The devcontainer.json that would be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    devcontainer: Option<String>,
    /// Tools that are pinned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pinned_tools: Vec<String>,
}

impl Listing {
    /// Of a survey.
    pub fn of(survey: &Survey, dest: &str, requests: &RepositoryRequests) -> Self {
        let shown = |path: Vec<u8>| String::from_utf8_lossy(&path).replace('\n', "\\n");
        Self {
            guest_path: dest.to_owned(),
            commit: survey.top().commit.clone(),
            branch: survey.top().branch.clone(),
            files: survey.paths().into_iter().map(shown).collect(),
            untracked: survey.untracked(),
            devcontainer: requests.devcontainer.as_ref().map(|used| used.file.clone()),
            pinned_tools: requests
                .pins
                .iter()
                .flat_map(|pins| pins.tools.keys().cloned())
                .collect(),
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
    #[serde(flatten)]
    done: Done,
}

impl Prepared {
    /// Of what went.
    pub fn of(vm: &Vm, sent: &Sent, done: Done) -> Self {
        Self {
            vm: vm.name.clone(),
            guest_path: sent.head.guest_path.clone(),
            head_commit: sent.head.commit.clone(),
            branch: sent.head.branch.clone(),
            files: sent.files,
            removed: sent.removed,
            bytes: sent.done.map_or(0, |done| done.bytes),
            done,
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

/// One file of a patch.
#[derive(Debug, Serialize)]
struct File {
    path: String,
    how: How,
    /// Lines that come and go.
    added: u64,
    removed: u64,
    binary: bool,
    /// Why it wants a look before it is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<Consent>,
}

/// What a patch does.
#[derive(Debug, Serialize)]
pub struct Changed {
    files: Vec<File>,
    bytes: u64,
}

impl Changed {
    /// Of a patch.
    pub fn of(patch: &Patch) -> Self {
        let consent = patch.consent();
        let why = |path: &[u8]| {
            consent
                .iter()
                .find(|(file, _)| file.path == path)
                .map(|(_, why)| *why)
        };
        let files = patch.files.iter().map(|file| File {
            path: String::from_utf8_lossy(&file.path).replace('\n', "\\n"),
            how: file.how,
            added: file.added,
            removed: file.removed,
            binary: file.binary,
            consent: why(&file.path),
        });
        Self {
            files: files.collect(),
            bytes: patch.bytes,
        }
    }
}

impl Render for Changed {
    fn text(&self, page: &mut Page) {
        for file in &self.files {
            let how = match file.how {
                How::Added => 'A',
                How::Deleted => 'D',
                How::Modified => 'M',
            };
            let size = match file.binary {
                true => "binary".to_owned(),
                false => format!("+{} -{}", file.added, file.removed),
            };
            let look = match file.consent {
                Some(Consent::Executable) => "  becomes a program",
                Some(Consent::Obeyed) => "  other programs obey it",
                None => "",
            };
            page.line(format!("{how} {}  {size}{look}", file.path));
        }
    }
}

/// A patch that was written to a file.
#[derive(Debug, Serialize)]
pub struct Written {
    vm: VmName,
    output: String,
    #[serde(flatten)]
    changed: Changed,
}

impl Written {
    /// Of what was exported.
    pub fn of(vm: &Vm, exported: &Exported, path: &std::path::Path) -> Self {
        Self {
            vm: vm.name.clone(),
            output: path.display().to_string(),
            changed: Changed::of(&exported.patch),
        }
    }

    /// In one line.
    pub fn told(&self) -> String {
        let (files, bytes) = (self.changed.files.len(), ByteSize(self.changed.bytes));
        format!("{}: {files} files, {bytes}", self.output)
    }
}

impl Render for Written {
    fn text(&self, page: &mut Page) {
        page.line(self.told());
    }
}
