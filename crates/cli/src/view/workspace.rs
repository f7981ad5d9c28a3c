//! Workspaces: what would go, what went, what was exported.

use std::collections::HashMap;

use banger_api::vm::Vm;
use banger_api::{ByteSize, Timestamp, VmName};
use banger_guest::files::LeftKind;
use banger_workspace::Survey;
use banger_workspace::mbox::WhyLeftOut;
use banger_workspace::patch::{Consent, How};
use serde::Serialize;

use crate::counted::counted;
use crate::output::page::Page;
use crate::output::width::Cut;
use crate::output::{Render, table};
use crate::workspace::{Done, Exported, Kept, RepositoryRequests, Sent, reason, shown};

/// Things that would go.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// Its target in the guest.
    guest_path: String,
    /// The commit that would be checked out.
    commit: Option<String>,
    /// The branch.
    branch: Option<String>,
    /// Files, below the workspace.
    files: Vec<String>,
    /// Files that are neither tracked nor ignored.
    untracked: usize,
    /// Repositories inside that stay behind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nested_repositories: Vec<String>,
    /// Sockets, fifos and devices that stay behind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    special_files: Vec<String>,
    /// Tracked files that are kept out of the work tree.
    kept_out: usize,
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
        let shown = |path: Vec<u8>| shown(&path);
        Self {
            guest_path: dest.to_owned(),
            commit: survey.top().commit.clone(),
            branch: survey.top().branch.clone(),
            files: survey.paths().into_iter().map(shown).collect(),
            untracked: survey.untracked(),
            nested_repositories: survey.nested().into_iter().map(shown).collect(),
            special_files: survey.special().into_iter().map(shown).collect(),
            kept_out: survey.kept_out(),
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

/// Things that went.
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
        let (path, files) = (&self.guest_path, counted(self.files, "file"));
        if self.bytes == 0 && self.removed == 0 {
            page.line(format!("{path} has everything"));
            return;
        }
        let removed = match self.removed {
            0 => String::new(),
            n => format!(", {n} removed"),
        };
        page.line(format!(
            "{path}: {files}{removed}, {}",
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
    /// Cause that it wants a look before it is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<Consent>,
}

/// Something in the guest that no patch can hold.
#[derive(Debug, Serialize)]
struct Left {
    path: String,
    kind: LeftKind,
}

/// A commit that is in no mail.
#[derive(Debug, Serialize)]
struct Commit {
    commit: String,
    why: WhyLeftOut,
}

/// Effects of a patch, and what is not in it.
#[derive(Debug, Serialize)]
pub struct Changed {
    files: Vec<File>,
    bytes: u64,
    /// Changed files that were left out by the paths that were given.
    files_left_out: usize,
    /// Paths in the guest that no patch can hold.
    left_behind: Vec<Left>,
    /// Files behind a content filter that a plain `git apply` does not take.
    filtered: Vec<String>,
    /// Commits that are in no mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commits_left_out: Vec<Commit>,
}

impl Changed {
    /// Of an export.
    pub fn of(exported: &Exported) -> Self {
        let patch = &exported.patch;
        let consent = patch.consent();
        let consent: HashMap<&[u8], Consent> = consent
            .iter()
            .map(|(file, why)| (&file.path[..], *why))
            .collect();
        let files = patch.files.iter().map(|file| File {
            path: shown(&file.path),
            how: file.how,
            added: file.added,
            removed: file.removed,
            binary: file.binary,
            consent: consent.get(&file.path[..]).copied(),
        });
        let left = exported.left_behind.iter().map(|left| Left {
            path: shown(&left.path),
            kind: left.kind,
        });
        let filtered = exported.filtered.iter().map(|(path, _)| shown(path));
        let commits = exported.left_out.iter().map(|left| Commit {
            commit: left.commit.clone(),
            why: left.why,
        });
        Self {
            files: files.collect(),
            bytes: patch.bytes,
            files_left_out: patch.left_out,
            left_behind: left.collect(),
            filtered: filtered.collect(),
            commits_left_out: commits.collect(),
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
            let look = file.consent.map(reason);
            let look = look.map_or(String::new(), |look| format!("  {look}"));
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
            changed: Changed::of(exported),
        }
    }

    /// In one line.
    pub fn told(&self) -> String {
        let files = counted(self.changed.files.len(), "file");
        format!("{}: {files}, {}", self.output, ByteSize(self.changed.bytes))
    }
}

impl Render for Written {
    fn text(&self, page: &mut Page) {
        page.line(self.told());
    }
}

/// A patch that was applied here.
#[derive(Debug, Serialize)]
pub struct Applied {
    vm: VmName,
    /// The repository that it was applied to.
    applied_to: String,
    #[serde(flatten)]
    changed: Changed,
}

impl Applied {
    /// Of an export.
    pub fn of(vm: &Vm, exported: &Exported, to: &str) -> Self {
        Self {
            vm: vm.name.clone(),
            applied_to: to.to_owned(),
            changed: Changed::of(exported),
        }
    }

    /// There was nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.changed.files.is_empty()
    }

    /// In one line.
    pub fn told(&self) -> String {
        let files = counted(self.changed.files.len(), "file");
        format!("{}: {files} changed", self.applied_to)
    }
}

impl Render for Applied {
    fn text(&self, page: &mut Page) {
        page.line(self.told());
    }
}

/// One workspace of a VM.
#[derive(Debug, Serialize)]
struct Workspace {
    name: String,
    guest_path: String,
    source: String,
    branch: Option<String>,
    commit: Option<String>,
    user: Option<String>,
    /// Everything arrived.
    complete: bool,
    /// Time of its last sending.
    sent_at: Timestamp,
}

/// The workspaces of a VM.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Workspaces(Vec<Workspace>);

impl Workspaces {
    /// Of their records.
    pub fn of(all: &[Kept]) -> Self {
        let one = |kept: &Kept| Workspace {
            name: kept.name().to_owned(),
            guest_path: kept.head.guest_path.clone(),
            source: kept.head.source.clone(),
            branch: kept.head.branch.clone(),
            commit: kept.head.commit.clone(),
            user: kept.head.user.clone(),
            complete: kept.head.complete,
            sent_at: kept.kept_at,
        };
        Self(all.iter().map(one).collect())
    }
}

impl Render for Workspaces {
    fn text(&self, page: &mut Page) {
        let mut table = table::Table::new(&["NAME", "BRANCH", "COMMIT", "STATE", "SOURCE"])
            .cut("SOURCE", Cut::Middle);
        for one in &self.0 {
            let commit: String = one
                .commit
                .iter()
                .flat_map(|oid| oid.chars().take(10))
                .collect();
            table.row([
                one.name.clone(),
                one.branch.clone().unwrap_or_default(),
                commit,
                if one.complete {
                    "complete"
                } else {
                    "incomplete"
                }
                .to_owned(),
                one.source.clone(),
            ]);
        }
        page.table(&table);
    }
}
