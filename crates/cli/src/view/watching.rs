//! A workspace that follows the host: one entry for each thing that happens.

use std::time::Duration;

use banger_api::vm::Vm;
use banger_api::{ByteSize, VmName};
use banger_workspace::RepoPath;
use serde::Serialize;

use crate::counted::counted;
use crate::output::Render;
use crate::output::page::Page;
use crate::workspace::{Done, Sent, refusal, shown};

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The guest has everything, and what changes follows.
    Watching {
        /// Folders whose changes are told.
        folders: usize,
    },
    /// This went, so long after the first of its changes.
    Sent(&'a Sent, Duration, Done),
    /// These files changed in the guest, too, and nothing went.
    HeldBack(&'a [RepoPath]),
}

/// One line.
#[derive(Debug, Serialize)]
pub struct Entry {
    vm: VmName,
    guest_path: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What {
    Watching {
        folders: usize,
    },
    Sent {
        head_commit: Option<String>,
        branch: Option<String>,
        files: usize,
        removed: u64,
        bytes: u64,
        /// From the first change to the guest's answer, in milliseconds.
        milliseconds: u64,
        #[serde(flatten)]
        done: Done,
    },
    HeldBack {
        files: Vec<String>,
        why: String,
    },
}

impl Entry {
    /// Of an event.
    pub fn of(vm: &Vm, guest_path: &str, event: &Event) -> Self {
        Self {
            vm: vm.name.clone(),
            guest_path: guest_path.to_owned(),
            what: match event {
                Event::Watching { folders } => What::Watching { folders: *folders },
                Event::Sent(sent, took, done) => What::Sent {
                    head_commit: sent.head.commit.clone(),
                    branch: sent.head.branch.clone(),
                    files: sent.files,
                    removed: sent.removed,
                    bytes: sent.done.map_or(0, |done| done.bytes),
                    milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    done: *done,
                },
                Event::HeldBack(files) => What::HeldBack {
                    files: files.iter().map(|path| shown(path)).collect(),
                    why: refusal(files).to_string(),
                },
            },
        }
    }
}

impl Render for Entry {
    fn text(&self, page: &mut Page) {
        let path = &self.guest_path;
        match &self.what {
            What::Watching { folders } => page.line(format!(
                "{path}: watching {}; Ctrl-C ends it",
                counted(*folders, "folder")
            )),
            What::Sent {
                files,
                removed,
                bytes,
                milliseconds,
                ..
            } => {
                let removed = match removed {
                    0 => String::new(),
                    n => format!(", {n} removed"),
                };
                page.line(format!(
                    "{path}: {}{removed}, {}, {milliseconds} ms",
                    counted(*files, "file"),
                    ByteSize(*bytes)
                ));
            }
            What::HeldBack { why, .. } => page.line(format!(
                "{path}: held back, {why}. Undo one side and save again, or end this and decide by prepare --force"
            )),
        }
    }
}
