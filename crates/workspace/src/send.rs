//! One tar stream of a whole shipment: files first, read and digested as they pass, then each repository's `.git`.
//!
//! ```text
//! files ──read, SHA-256──► tar ──► channel        meanwhile git makes the packs
//!                                  then: pack, idx, refs, shallow, HEAD, config, and the index last, because it
//!                                  holds the metadata of the files as they were sent
//! ```

mod administration;
mod files;
mod stream;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;

use banger_guest::TransferDone;

use crate::compose::{Composed, Known, compose};
use crate::error::WorkspaceError;
use crate::record::{Head, PartRecord, Record, Sent};
use crate::survey::Survey;
use crate::tracked::RepoPath;
use stream::Stream;

/// The part of a repository's `.git` that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitPart {
    /// All of it.
    Whole,
    /// New objects, the branch, HEAD, the index.
    Moved,
    /// New objects and the tree as it was sent.
    Tree,
    /// Nothing.
    Nothing,
}

/// A workspace to send, or the changes of one.
#[derive(Debug)]
pub struct Shipment {
    /// The survey of the workspace.
    pub survey: Arc<Survey>,
    /// Files that need not be sent, by path below the workspace; empty: all are sent.
    pub unchanged: BTreeMap<RepoPath, Sent>,
    /// The part of each repository's `.git`, in the survey's order.
    pub git: Vec<GitPart>,
    /// The packs, in the making.
    pub composing: Composing,
}

/// Repositories that are being composed on a thread of their own.
#[derive(Debug)]
pub struct Composing(JoinHandle<Result<Vec<Composed>, WorkspaceError>>);

impl Composing {
    /// Starts.
    pub fn start(survey: &Arc<Survey>, known: BTreeMap<RepoPath, Known>) -> Self {
        let survey = Arc::clone(survey);
        Self(std::thread::spawn(move || compose(&survey, &known)))
    }

    fn wait(self) -> Result<Vec<Composed>, WorkspaceError> {
        self.0
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Cause of a broken shipment.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// On the host.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The stream.
    #[error("the stream to the guest broke off")]
    Stream(#[from] io::Error),
}

impl Shipment {
    /// A shipment of everything.
    pub fn whole(survey: &Arc<Survey>) -> Self {
        Self {
            survey: Arc::clone(survey),
            unchanged: BTreeMap::new(),
            git: vec![GitPart::Whole; survey.parts.len()],
            composing: Composing::start(survey, BTreeMap::new()),
        }
    }

    /// Writes the stream; returns the number of entries and bytes, and the record of the guest's new state.
    ///
    /// # Errors
    /// A file cannot be read, git fails, or the stream breaks.
    pub fn write(
        self,
        guest_path: &str,
        to: &mut dyn Write,
    ) -> Result<(TransferDone, Record), SendError> {
        let survey = self.survey;
        let mut stream = Stream::new(to)?;
        let mut files = self.unchanged;
        let mut stats = Vec::new();
        for part in &survey.parts {
            stats.push(stream.part(part, survey.wanted.include_untracked, &mut files)?);
        }
        let composed = self.composing.wait()?;
        let (mut parts, mut packs) = (BTreeMap::new(), BTreeMap::new());
        for (((part, composed), stats), what) in
            survey.parts.iter().zip(composed).zip(stats).zip(self.git)
        {
            let known = Known {
                commit: part.commit.clone(),
                tree: composed.tree.clone(),
                shallow: composed.history.shallow.iter().cloned().collect(),
            };
            let record = PartRecord {
                known,
                branch: part.branch.clone(),
                index: part.index_digest(),
                pack_bytes: composed.own.as_ref().map_or(0, Vec::len),
            };
            parts.insert(part.name(), record);
            packs.extend(composed.own.clone().map(|own| (part.name(), own)));
            stream.git(part, composed, &stats, what)?;
        }
        let done = stream.finish()?;
        let top = survey.top();
        let head = Head {
            source: top.repository.top().to_string_lossy().into_owned(),
            guest_path: guest_path.to_owned(),
            commit: top.commit.clone(),
            host_head: top.repository.head.clone(),
            branch: top.branch.clone(),
            complete: true,
            parts,
            ..Head::default()
        };
        Ok((done, Record { head, files, packs }))
    }
}
