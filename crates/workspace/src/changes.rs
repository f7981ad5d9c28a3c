//! A second prepare: the host's changes since the last one, and the check that the guest still has the sent files.
//!
//! ```text
//! record + survey ──► Changes: files to send, files to remove, the part of each .git to send
//!                       └─ expected: the guest's present files there ──digests from the guest──► conflicts
//! ```
//!
//! Only files that are about to be replaced or removed are looked at in the guest: all other work there stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use banger_guest::{Found, TreePath};
use sha2::{Digest as _, Sha256};

use crate::compose::Known;
use crate::error::WorkspaceError;
use crate::record::{PartRecord, Record, Sent};
use crate::root::{Opened, Root};
use crate::send::{Composing, GitPart, Shipment};
use crate::survey::{Part, Source, Survey, as_path};
use crate::tracked::{EXECUTABLE, LINK, RepoPath, Tracked};

/// Changes that a second prepare makes in a guest.
#[derive(Debug)]
pub struct Changes {
    survey: Arc<Survey>,
    /// Files to send, as they are here now.
    pub sent: BTreeMap<RepoPath, Sent>,
    /// Files that were sent once and are no more.
    pub removed: BTreeSet<RepoPath>,
    unchanged: BTreeMap<RepoPath, Sent>,
    git: Vec<GitPart>,
    known: BTreeMap<RepoPath, Known>,
    /// Files that the guest must still have, each with its permitted states.
    expected: Vec<(TreePath, Vec<Found>)>,
}

impl Changes {
    /// Compares the host with the record of the sent workspace.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn find(survey: &Arc<Survey>, record: &Record) -> Result<Self, WorkspaceError> {
        let mut changes = Self {
            survey: Arc::clone(survey),
            sent: BTreeMap::new(),
            removed: BTreeSet::new(),
            unchanged: BTreeMap::new(),
            git: Vec::new(),
            known: BTreeMap::new(),
            expected: Vec::new(),
        };
        for part in &survey.parts {
            changes.part(part, record)?;
        }
        let gone = |path: &&RepoPath| {
            !changes.sent.contains_key(*path) && !changes.unchanged.contains_key(*path)
        };
        changes.removed = record.files.keys().filter(gone).cloned().collect();
        changes.expect(record)?;
        Ok(changes)
    }

    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        let still = |git: &GitPart| *git == GitPart::Nothing;
        self.sent.is_empty() && self.removed.is_empty() && self.git.iter().all(still)
    }

    /// The files that must be looked at in the guest.
    pub fn asked(&self) -> Vec<TreePath> {
        self.expected.iter().map(|(path, _)| path.clone()).collect()
    }

    /// Of these files, in the order of [`Self::asked`], those that differ from the sent ones: work that was done there.
    pub fn conflicts(&self, found: &[Found]) -> Vec<RepoPath> {
        let pairs = self.expected.iter().zip(found);
        let differs = pairs.filter(|((_, expected), found)| !expected.contains(found));
        differs
            .map(|((path, _), _)| path.as_bytes().to_vec())
            .collect()
    }

    /// Turns the changes into the shipment that carries them.
    pub fn into_shipment(self) -> Shipment {
        Shipment {
            composing: Composing::start(&self.survey, self.known),
            survey: self.survey,
            unchanged: self.unchanged,
            git: self.git,
        }
    }

    fn part(&mut self, part: &Part, record: &Record) -> Result<(), WorkspaceError> {
        let root = Root::open(part.repository.top())?;
        let wanted = self.survey.wanted.include_untracked;
        let untracked = part.untracked.iter().filter(|_| wanted);
        let tracked = part.tracked.iter().filter(|entry| part.goes(entry));
        let tracked = tracked.map(|entry| (&entry.path, Some(entry)));
        let untracked = untracked.map(|path| (path, None));
        let known = record.head.parts.get(&part.name());
        let same_tree = known.is_some_and(|known| part.is_tree(&known.known.tree));
        let mut differs = false;
        for (path, entry) in tracked.chain(untracked) {
            let full = [&part.prefix[..], path].concat();
            if self.sent.contains_key(&full) || self.unchanged.contains_key(&full) {
                continue;
            }
            let before = record.files.get(&full);
            match &part.source {
                Source::WorkTree => match now(part, &root, (path, entry), before)? {
                    Now::Same(sent) => drop(self.unchanged.insert(full, sent)),
                    Now::Other(sent) => {
                        differs = true;
                        self.sent.insert(full, sent);
                    }
                    Now::Gone => differs |= before.is_some(),
                },
                Source::Commit(_) if same_tree && before.is_some() => {
                    self.unchanged
                        .extend(before.cloned().map(|sent| (full, sent)));
                }
                // The content of a commit's file is known once it is read: it is sent again and compared in the guest.
                Source::Commit(_) => {
                    differs = true;
                    self.sent.insert(full, before.cloned().unwrap_or_default());
                }
            }
        }
        for path in part.untracked.iter().filter(|_| !wanted) {
            let full = [&part.prefix[..], path].concat();
            // It went once and is still here: this time it is left alone.
            if let Some(before) = record.files.get(&full) {
                self.unchanged.insert(full, before.clone());
            }
        }
        self.git.push(part.git_since(known, differs));
        if let Some(known) = known {
            self.known.insert(part.prefix.clone(), known.known.clone());
        }
        Ok(())
    }

    /// Collects the permitted states of the guest's files: as sent before, or already as in this shipment.
    fn expect(&mut self, record: &Record) -> Result<(), WorkspaceError> {
        let mut expected = Vec::new();
        for (path, sent) in &self.sent {
            let before = record.files.get(path).map_or(Found::Absent, as_found);
            // The new file may be there already, when an earlier prepare was cut off before its record was stored.
            expected.push((tree_path(path)?, vec![as_found(sent), before]));
        }
        for path in &self.removed {
            let ways = record.files.get(path).map(as_found);
            expected.push((
                tree_path(path)?,
                ways.into_iter().chain([Found::Absent]).collect(),
            ));
        }
        for (part, git) in self.survey.parts.iter().zip(&self.git) {
            let known = record.head.parts.get(&part.name());
            if *git == GitPart::Moved
                && let Some(known) = known
            {
                expected.extend(part.heads(known)?);
            }
            if *git == GitPart::Whole {
                let path = [&part.prefix[..], b".git"].concat();
                expected.push((tree_path(&path)?, vec![Found::Absent]));
            }
        }
        self.expected = expected;
        Ok(())
    }
}

impl Part {
    /// True when its source is a commit of exactly this tree.
    fn is_tree(&self, tree: &str) -> bool {
        let Source::Commit(commit) = &self.source else {
            return false;
        };
        let spec = format!("{commit}^{{tree}}");
        let found = self
            .repository
            .git
            .line(&["rev-parse", "-q", "--verify", &spec]);
        matches!(found, Ok(Some(found)) if found == tree)
    }

    fn git_since(&self, known: Option<&PartRecord>, differs: bool) -> GitPart {
        let Some(known) = known else {
            return GitPart::Whole;
        };
        let same = known.known.commit == self.commit
            && known.branch == self.branch
            && known.index == self.index_digest();
        match (same, differs) {
            (true, false) => GitPart::Nothing,
            (true, true) => GitPart::Tree,
            (false, _) => GitPart::Moved,
        }
    }

    /// Expected content of `HEAD` and the branch, as they were sent: a commit made in the guest changes one of them.
    fn heads(&self, known: &PartRecord) -> Result<Vec<(TreePath, Vec<Found>)>, WorkspaceError> {
        let at = |name: String| tree_path(&[&self.prefix[..], b".git/", name.as_bytes()].concat());
        let head = match (&known.branch, &known.known.commit) {
            (Some(branch), _) => format!("ref: refs/heads/{branch}\n"),
            (None, Some(commit)) => format!("{commit}\n"),
            (None, None) => "ref: refs/heads/main\n".to_owned(),
        };
        let mut expected = vec![(
            at("HEAD".to_owned())?,
            vec![text(&head), text(&crate::gitdir::head(self))],
        )];
        if let Some(branch) = &known.branch {
            let mut ways: Vec<_> = known
                .known
                .commit
                .iter()
                .chain(&self.commit)
                .map(|commit| text(&format!("{commit}\n")))
                .collect();
            if known.known.commit.is_none() {
                ways.push(Found::Absent);
            }
            expected.push((at(format!("refs/heads/{branch}"))?, ways));
        }
        if let Some(branch) = self
            .branch
            .as_ref()
            .filter(|branch| known.branch.as_ref() != Some(branch))
        {
            let ours = self
                .commit
                .iter()
                .map(|commit| text(&format!("{commit}\n")));
            expected.push((
                at(format!("refs/heads/{branch}"))?,
                ours.chain([Found::Absent]).collect(),
            ));
        }
        Ok(expected)
    }
}

/// Expected state of a guest's file that banger wrote, with this text.
fn text(text: &str) -> Found {
    Found::File {
        sha256: banger_durable::hex(&Sha256::digest(text)),
        executable: false,
    }
}

fn as_found(sent: &Sent) -> Found {
    let sha256 = sent.sha256.clone();
    match sent.mode {
        LINK => Found::Link { sha256 },
        mode => Found::File {
            sha256,
            executable: mode == EXECUTABLE,
        },
    }
}

fn tree_path(path: &[u8]) -> Result<TreePath, WorkspaceError> {
    TreePath::new(path).map_err(|error| WorkspaceError::Name {
        path: as_path(path).display().to_string(),
        why: error.to_string(),
    })
}

enum Now {
    Same(Sent),
    Other(Sent),
    Gone,
}

/// State of a file now. A file whose metadata has not changed since it was sent is not read.
fn now(
    part: &Part,
    root: &Root,
    (path, entry): (&[u8], Option<&Tracked>),
    before: Option<&Sent>,
) -> Result<Now, WorkspaceError> {
    let nanos = |nanos| u32::try_from(nanos).unwrap_or(0);
    if let Some(before) = before
        && before.changed != (0, 0)
        && let Some(stat) = root.stat(path)?
        && before.inode == stat.st_ino
        && i64::try_from(before.size) == Ok(stat.st_size)
        && before.changed == (stat.st_ctime, nanos(stat.st_ctime_nsec))
        && part.may_be(entry, before.mode)
    {
        return Ok(Now::Same(before.clone()));
    }
    let (mode, size, sha256, stat) = match root.opened(path)? {
        Opened::File(mut file, stat) => {
            let mut digest = Sha256::new();
            let size = std::io::copy(&mut file, &mut HashWriter(&mut digest))
                .map_err(WorkspaceError::file("read", as_path(path)))?;
            let mode = match part.stands_for_link(entry, size) {
                true => LINK,
                false => part.mode_of(entry, stat.st_mode),
            };
            (mode, size, digest.finalize(), stat)
        }
        Opened::Link(target, stat) => (LINK, target.len() as u64, Sha256::digest(&target), stat),
        Opened::Directory | Opened::Other | Opened::Absent => return Ok(Now::Gone),
    };
    let sent = Sent {
        mode,
        size,
        modified: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
        changed: (0, 0),
        inode: stat.st_ino,
        sha256: banger_durable::hex(&sha256),
    };
    Ok(match before {
        // The guest keeps the time at which it got it.
        Some(before) if before.sha256 == sent.sha256 && before.mode == sent.mode => {
            Now::Same(before.clone())
        }
        _ => Now::Other(sent),
    })
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
