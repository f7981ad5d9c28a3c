//! Changes in a guest, on their way here: asked for, read by our own rules, and only then seen by anything else.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_api::{ApiError, ByteSize, ErrorCode};
use banger_workspace::export::{self, Base};
use banger_workspace::mbox::{Commits, LeftOut, Mbox, MboxError};
use banger_workspace::patch::{
    Approval, Checker, Consent, FileChange, Patch, PatchError, PatchLimits,
};
use banger_workspace::{
    Filtered, Git, Head, LeftBehind, Oid, Pathspec, Record, RepoPath, Series, is_oid,
};

use super::changes::{self, Question};
use super::choice::Choice;
use super::guest_git::{Ended, answer, no_git};
use super::record;
use crate::context::Context;
use crate::failure::{Failure, chain};

/// Mode of a link.
const LINK: u32 = 0o120_000;
/// Number of entries that are shown of a list that may be long.
const SHOWN: usize = 10;

/// The arguments that `export` and `diff` share.
#[derive(Debug, clap::Args)]
pub struct Against {
    /// Against this commit [default: the one that was sent], so that the patch fits a clean checkout of it; without
    /// this, against the files as they were sent, what was not committed included
    #[arg(long, value_name = "REV", num_args = 0..=1, default_missing_value = "")]
    base_commit: Option<String>,
    /// Refuse a patch that is larger
    #[arg(long, value_name = "SIZE", default_value = "256M")]
    max_size: ByteSize,
    /// Leave this path out, and all below it; may be repeated
    #[arg(long, value_name = "PATH")]
    exclude: Vec<OsString>,
    #[command(flatten)]
    choice: Choice,
    /// Only these paths, as git writes pathspecs: dir, '*.rs', ':(exclude).venv'
    #[arg(last = true, value_name = "PATHSPEC")]
    paths: Vec<OsString>,
}

/// An export that passed the checks.
#[derive(Debug)]
pub struct Exported {
    /// The patch or the mailbox.
    pub bytes: Vec<u8>,
    /// Its effect.
    pub patch: Patch,
    /// Paths in the guest that no patch can hold.
    pub left_behind: Vec<LeftBehind>,
    /// Filtered files that a plain `git apply` does not take, and their filters.
    pub filtered: Vec<(RepoPath, String)>,
    /// Commits that are in no mail.
    pub left_out: Vec<LeftOut>,
    /// Commits whose author's name no mail can carry.
    pub renamed: Vec<Oid>,
    /// The record of what was sent.
    pub record: Arc<Record>,
}

impl Default for Against {
    fn default() -> Self {
        Self {
            base_commit: None,
            max_size: ByteSize(PatchLimits::default().bytes),
            exclude: Vec::new(),
            choice: Choice::default(),
            paths: Vec::new(),
        }
    }
}

impl Against {
    /// The patch of all that changed.
    ///
    /// # Errors
    /// Nothing was sent, the guest's git fails, or the patch is refused.
    pub async fn patch(
        &self,
        vm: &str,
        filtered: Filtered,
        context: &Context,
    ) -> Result<Exported, Failure> {
        let record = self.sent(vm, context).await?;
        self.patch_of(vm, record, filtered, context).await
    }

    /// The patch of all that changed in a workspace.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub async fn patch_of(
        &self,
        vm: &str,
        record: Arc<Record>,
        filtered: Filtered,
        context: &Context,
    ) -> Result<Exported, Failure> {
        let question = Question {
            base: self.base(&record.head).await?,
            selection: self.selection(&record.head)?,
            filtered,
            limits: self.limits(),
        };
        let command = export::worktree(&record.head, &question.base)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let checker = Checker::new(self.limits(), links(&record));
        let mut checker = checker.selecting(question.selection.clone());
        let here = changes::patch(vm, &record, &question, context).await?;
        let bytes = match here.patch {
            Ok(bytes) => {
                checker.push(&bytes).map_err(|error| refused(&error))?;
                bytes
            }
            Err(why) => {
                let mut bytes = Vec::new();
                let mut take = |piece: &[u8]| {
                    checker.push(piece).map_err(|error| refused(&error))?;
                    bytes.extend_from_slice(piece);
                    Ok(())
                };
                if answer(vm, command, &mut take, context).await? == Ended::NoGit {
                    return Err(no_git(&format!(
                        "and this host cannot compare what came back: {why}"
                    )));
                }
                bytes
            }
        };
        let patch = checker.finish().map_err(|error| refused(&error))?;
        Ok(Exported {
            bytes: patch.cut(bytes),
            patch,
            left_behind: here.left_behind,
            filtered: here.filtered,
            left_out: Vec::new(),
            renamed: Vec::new(),
            record,
        })
    }

    /// The commits that were made there, as a mailbox.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub async fn mbox(&self, vm: &str, context: &Context) -> Result<Exported, Failure> {
        let record = self.sent(vm, context).await?;
        let base = self.base(&record.head).await?;
        let command = export::commits(&record.head, &base)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let (limits, links) = (self.limits(), links(&record));
        let selection = self.selection(&record.head)?;
        let mut bytes = Vec::new();
        let mut take = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            if bytes.len() as u64 > limits.bytes {
                let error = format!(
                    "the guest's commits have more than the {} allowed",
                    self.max_size
                );
                return Err(ApiError::new(ErrorCode::GuestFailed, error).into());
            }
            Ok(())
        };
        if answer(vm, command, &mut take, context).await? == Ended::NoGit {
            return Err(no_git("and so no commits"));
        }
        let base = match base {
            Base::Other(oid) => Some(oid),
            Base::Sent | Base::Commit => record.head.commit.clone(),
        };
        let source = PathBuf::from(&record.head.source);
        let composing = tokio::task::spawn_blocking(move || {
            compose(&bytes, limits, &links, &selection, &source, base.as_deref())
        });
        let mbox = match composing.await {
            Ok(mbox) => mbox?,
            Err(panic) => return Err(ApiError::new(ErrorCode::Internal, panic.to_string()).into()),
        };
        Ok(Exported {
            bytes: mbox.bytes,
            patch: mbox.patch,
            left_behind: Vec::new(),
            filtered: Vec::new(),
            left_out: mbox.left_out,
            renamed: mbox.renamed,
            record,
        })
    }

    fn limits(&self) -> PatchLimits {
        PatchLimits {
            bytes: self.max_size.0,
            ..PatchLimits::default()
        }
    }

    /// Finds the record of what was sent to the workspace that is meant.
    async fn sent(&self, vm: &str, context: &Context) -> Result<Arc<Record>, Failure> {
        let kept = self.choice.of(vm, context).await?;
        let record = record::whole(vm, &kept, context).await?;
        // A repository that was moved is known by its new path.
        let head = Head {
            source: kept.head.source,
            ..record.head
        };
        Ok(Arc::new(Record { head, ..record }))
    }

    /// Paths are relative to the current folder inside the repository, else to its top.
    fn selection(&self, head: &Head) -> Result<Pathspec, Failure> {
        let here = std::env::current_dir().ok();
        let below = here
            .as_deref()
            .and_then(|here| here.strip_prefix(&head.source).ok());
        pathspec(&self.paths, &self.exclude, below)
    }

    async fn base(&self, head: &Head) -> Result<Base, Failure> {
        match self.base_commit.as_deref() {
            None => Ok(Base::Sent),
            Some("") => Ok(Base::Commit),
            Some(oid) if is_oid(oid) => Ok(Base::Other(oid.to_owned())),
            Some(rev) => {
                let (spec, source) = (format!("{rev}^{{commit}}"), head.source.clone());
                let looking = tokio::task::spawn_blocking(move || {
                    let args = ["rev-parse", "-q", "--verify", "--end-of-options", &spec];
                    Git::new(source).line(&args)
                });
                match looking.await {
                    Ok(Ok(Some(oid))) => Ok(Base::Other(oid)),
                    _ => Err(Failure::usage(format!(
                        "{} has no commit \"{rev}\"",
                        head.source
                    ))),
                }
            }
        }
    }
}

/// Words of a command line as a pathspec; `below` is the folder that they are relative to.
///
/// # Errors
/// They are none.
pub fn pathspec(
    words: &[OsString],
    excluded: &[OsString],
    below: Option<&Path>,
) -> Result<Pathspec, Failure> {
    let bytes = |words: &[OsString]| -> Vec<_> {
        let words = words.iter().cloned();
        words.map(OsString::into_vec).collect()
    };
    let prefix = below.map(|below| below.as_os_str().to_owned().into_vec());
    Pathspec::parse(&bytes(words), &bytes(excluded), &prefix.unwrap_or_default())
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Mails that `git am` takes: of a history with merges all other commits when they come to the same, else the line of
/// first parents.
fn compose(
    bytes: &[u8],
    limits: PatchLimits,
    links: &BTreeSet<RepoPath>,
    selection: &Pathspec,
    source: &Path,
    base: Option<&str>,
) -> Result<Mbox, Failure> {
    let refused = |error: MboxError| match &error {
        MboxError::Patch { source, .. } if !source.paths().is_empty() => {
            hinted(&error, source.paths().first().map(|one| &one.path[..]))
        }
        error => refused(error),
    };
    let commits = Commits::read(bytes).map_err(refused)?;
    let mbox = commits.mails(limits, links, selection).map_err(refused)?;
    if !commits.has_merges() || !selection.is_everything() {
        return Ok(mbox);
    }
    let cannot = |why: &str| -> Failure {
        let message = format!("the commits that were made there have merges, {why}");
        ApiError::new(ErrorCode::GuestFailed, message)
            .hint("--format patch has all that they do")
            .into()
    };
    let base = base.ok_or_else(|| cannot("and what was sent has no commit"))?;
    let untried = |error| {
        cannot(&format!(
            "and this host cannot try mails: {}",
            chain(&error)
        ))
    };
    let series = Series::open(source, base).map_err(untried)?;
    if series.tree(&mbox.diffs).map_err(untried)? == commits.tree {
        return Ok(mbox);
    }
    let linear = commits.linear(limits, links, selection).map_err(refused)?;
    match series.tree(&linear.diffs).map_err(untried)? == commits.tree {
        true => Ok(linear),
        false => Err(cannot("and no mails come to what they do")),
    }
}

/// The links among what was sent.
fn links(record: &Record) -> BTreeSet<RepoPath> {
    let links = record.files.iter().filter(|(_, sent)| sent.mode == LINK);
    links.map(|(path, _)| path.clone()).collect()
}

pub(super) fn refused(error: &(dyn std::error::Error + 'static)) -> Failure {
    let patch = error.downcast_ref::<PatchError>();
    let first = patch.and_then(|error| error.paths().first());
    hinted(error, first.map(|one| &one.path[..]))
}

/// A refusal, with the way to get the rest.
fn hinted(error: &dyn std::error::Error, path: Option<&str>) -> Failure {
    let hint = match path {
        Some(path) => {
            let path = path.split_once('/').map_or(path, |(top, _)| top);
            format!("nothing was written; --exclude '{path}' leaves it out and takes the rest")
        }
        None => "nothing was written".to_owned(),
    };
    ApiError::new(ErrorCode::GuestFailed, chain(error))
        .hint(hint)
        .into()
}

/// Files of a patch that run, that other programs or agents obey, or that are links need the user's word.
///
/// # Errors
/// There are some, and the user has not said so.
pub fn needs_consent(patch: &Patch, approval: &Approval) -> Result<(), Failure> {
    let files = patch.unapproved(approval);
    if files.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the patch contains files that need your approval: {}",
        listed(&files)
    );
    let first = files.first().map(|(file, _)| shown(&file.path));
    let first = first.unwrap_or_default();
    Err(ApiError::new(ErrorCode::GuestFailed, message)
        .hint(format!(
            "banger vm workspace diff shows them; --allow '{first}' takes one (or a folder), --allow-exec all of them"
        ))
        .into())
}

/// Files that need approval, in one line.
pub fn listed(files: &[(&FileChange, Consent)]) -> String {
    let mut named: Vec<_> = files
        .iter()
        .take(SHOWN)
        .map(|(file, why)| format!("{} ({})", shown(&file.path), reason(*why)))
        .collect();
    if files.len() > SHOWN {
        named.push(format!("and {} more", files.len() - SHOWN));
    }
    named.join(", ")
}

/// Cause that a file needs approval.
pub fn reason(why: Consent) -> &'static str {
    match why {
        Consent::Executable => "becomes a program",
        Consent::Obeyed => "other programs obey it",
        Consent::Instructions => "agents take it as instructions",
        Consent::Link => "is a link",
    }
}

/// A path in a line.
pub fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).replace('\n', "\\n")
}

/// The first of a list, and how many more there are.
pub fn some_paths<'a>(paths: impl ExactSizeIterator<Item = &'a [u8]>) -> String {
    let more = paths.len().saturating_sub(SHOWN);
    let mut named: Vec<_> = paths.take(SHOWN).map(shown).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}
