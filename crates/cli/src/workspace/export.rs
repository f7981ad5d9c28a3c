//! What changed in a guest, on its way here: asked for, read by our own rules, and only then seen by anything else.

use std::collections::BTreeSet;
use std::sync::Arc;

use banger_api::{ApiError, ByteSize, ErrorCode};
use banger_workspace::export::{self, Base};
use banger_workspace::mbox;
use banger_workspace::patch::{Checker, Consent, Patch, PatchLimits};
use banger_workspace::{Git, Head, Record, RepoPath, is_oid};

use super::changes::{self, Compared};
use super::guest_git::{Ended, answer, no_git};
use super::record;
use crate::context::Context;
use crate::failure::{Failure, chain};

/// Mode of a link.
const LINK: u32 = 0o120_000;
/// What is shown of a list that may be long.
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
}

/// An export that passed the checks.
#[derive(Debug)]
pub struct Exported {
    /// The patch or the mailbox.
    pub bytes: Vec<u8>,
    /// What it does.
    pub patch: Patch,
}

impl Against {
    /// The patch of all that changed.
    ///
    /// # Errors
    /// Nothing was sent, the guest's git fails, or the patch is refused.
    pub async fn patch(&self, vm: &str, context: &Context) -> Result<Exported, Failure> {
        let record = sent(vm, context).await?;
        let base = self.base(&record.head)?;
        let command = export::worktree(&record.head, &base)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let links = links(&record);
        let here = changes::patch(vm, &record, &base, self.limits(), context).await?;
        let (second_best, why) = match here {
            Compared::Exact(bytes) => return self.checked(bytes, links),
            Compared::LineEnds(bytes) => (Some(bytes), String::new()),
            Compared::NotHere(why) => (None, why),
        };
        let mut checker = Checker::new(self.limits(), links.clone());
        let mut bytes = Vec::new();
        let mut take = |piece: &[u8]| {
            checker.push(piece).map_err(|error| refused(&error))?;
            bytes.extend_from_slice(piece);
            Ok(())
        };
        match (answer(vm, command, &mut take, context).await?, second_best) {
            (Ended::Done, _) => {
                let patch = checker.finish().map_err(|error| refused(&error))?;
                Ok(Exported { bytes, patch })
            }
            (Ended::NoGit, Some(bytes)) => self.checked(bytes, links),
            (Ended::NoGit, None) => Err(no_git(&format!(
                "and this host cannot compare what came back: {why}"
            ))),
        }
    }

    fn checked(&self, bytes: Vec<u8>, links: BTreeSet<RepoPath>) -> Result<Exported, Failure> {
        let mut checker = Checker::new(self.limits(), links);
        let checked = checker.push(&bytes).and_then(|()| checker.finish());
        let patch = checked.map_err(|error| refused(&error))?;
        Ok(Exported { bytes, patch })
    }

    /// The commits that were made there, as a mailbox.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub async fn mbox(&self, vm: &str, context: &Context) -> Result<Exported, Failure> {
        let record = sent(vm, context).await?;
        let (head, links) = (&record.head, links(&record));
        let command = export::commits(head, &self.base(head)?)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let limits = self.limits();
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
        let mbox = mbox::compose(&bytes, limits, &links).map_err(|error| refused(&error))?;
        Ok(Exported {
            bytes: mbox.bytes,
            patch: mbox.patch,
        })
    }

    fn limits(&self) -> PatchLimits {
        PatchLimits {
            bytes: self.max_size.0,
            ..PatchLimits::default()
        }
    }

    fn base(&self, head: &Head) -> Result<Base, Failure> {
        match self.base_commit.as_deref() {
            None => Ok(Base::Sent),
            Some("") => Ok(Base::Commit),
            Some(oid) if is_oid(oid) => Ok(Base::Other(oid.to_owned())),
            Some(rev) => {
                let spec = format!("{rev}^{{commit}}");
                let found = Git::new(&head.source).line(&[
                    "rev-parse",
                    "-q",
                    "--verify",
                    "--end-of-options",
                    &spec,
                ]);
                match found {
                    Ok(Some(oid)) => Ok(Base::Other(oid)),
                    _ => Err(Failure::usage(format!(
                        "{} has no commit \"{rev}\"",
                        head.source
                    ))),
                }
            }
        }
    }
}

/// What was sent.
async fn sent(vm: &str, context: &Context) -> Result<Arc<Record>, Failure> {
    let record = record::whole(vm, context)
        .await?
        .filter(|record| record.head.complete);
    record.map(Arc::new).ok_or_else(|| {
        ApiError::new(ErrorCode::WrongState, "no repository was sent to this VM")
            .hint("banger vm workspace prepare NAME PATH sends one")
            .into()
    })
}

/// The links among it.
fn links(record: &Record) -> BTreeSet<RepoPath> {
    let links = record.files.iter().filter(|(_, sent)| sent.mode == LINK);
    links.map(|(path, _)| path.clone()).collect()
}

pub(super) fn refused(error: &dyn std::error::Error) -> Failure {
    ApiError::new(ErrorCode::GuestFailed, chain(error))
        .hint("nothing was written")
        .into()
}

/// Files of a patch that run, or that other programs obey, need the user's word.
///
/// # Errors
/// There are some, and the user has not said so.
pub fn needs_consent(patch: &Patch, allowed: bool) -> Result<(), Failure> {
    let files = patch.consent();
    if allowed || files.is_empty() {
        return Ok(());
    }
    let mut shown: Vec<_> = files
        .iter()
        .take(SHOWN)
        .map(|(file, why)| {
            let why = match why {
                Consent::Executable => "becomes a program",
                Consent::Obeyed => "other programs obey it",
            };
            format!("{} ({why})", String::from_utf8_lossy(&file.path))
        })
        .collect();
    if files.len() > SHOWN {
        shown.push(format!("and {} more", files.len() - SHOWN));
    }
    let message = format!(
        "the patch contains files that need your approval: {}",
        shown.join(", ")
    );
    Err(ApiError::new(ErrorCode::GuestFailed, message)
        .hint("banger vm workspace diff shows them; --allow-exec takes them")
        .into())
}
