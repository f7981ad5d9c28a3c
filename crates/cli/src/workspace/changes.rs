//! Changes in a guest, as its agent tells them, compared here with what was sent.

use std::sync::Arc;

use banger_api::{ApiError, ErrorCode};
use banger_guest::TreePath;
use banger_guest::files::{TransferError, ask_changes};
use banger_workspace::export::Base;
use banger_workspace::patch::PatchLimits;
use banger_workspace::{
    Comparison, Filtered, LeftBehind, Pathspec, Record, RepoPath, Returned, manifest,
};

use super::export::refused;
use crate::context::Context;
use crate::failure::{Failure, chain};

/// The request.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// Base of the patch.
    pub base: Base,
    /// Paths that are meant.
    pub selection: Pathspec,
    /// Form of filtered files.
    pub filtered: Filtered,
    /// Its largest size, bytes.
    pub limits: PatchLimits,
}

/// The outcome of a comparison on this host.
#[derive(Debug)]
pub(super) struct Compared {
    /// The patch; or why this host cannot tell, and the guest's git can.
    pub patch: Result<Vec<u8>, String>,
    /// Paths that no patch can hold.
    pub left_behind: Vec<LeftBehind>,
    /// Filtered files that a plain `git apply` does not take, and their filters.
    pub filtered: Vec<(RepoPath, String)>,
}

/// The patch of all repositories of a workspace, one after the other.
///
/// # Errors
/// The VM cannot be asked, or the guest offers what is refused.
pub(super) async fn patch(
    vm: &str,
    record: &Arc<Record>,
    question: &Question,
    context: &Context,
) -> Result<Compared, Failure> {
    let mut all = Compared {
        patch: Ok(Vec::new()),
        left_behind: Vec::new(),
        filtered: Vec::new(),
    };
    for part in record.head.parts.keys() {
        let opening = {
            let (record, part, base) = (Arc::clone(record), part.clone(), question.base.clone());
            tokio::task::spawn_blocking(move || Comparison::open(&record, &part, &base))
        };
        let asked = returned(vm, record, part, question.limits, context).await?;
        let comparison = opening.await.map_err(panicked)?;
        let mut returned = match asked {
            Ok(returned) => returned,
            Err(why) => {
                all.patch = Err(why);
                continue;
            }
        };
        let prefix = prefix_of(part);
        returned.select(&question.selection, &prefix);
        all.left_behind
            .extend(returned.left_behind().iter().map(|left| LeftBehind {
                kind: left.kind,
                path: [&prefix[..], &left.path].concat(),
            }));
        let comparison = match comparison {
            Ok(comparison) => comparison,
            Err(error) => {
                all.patch = Err(chain(&error));
                continue;
            }
        };
        returned.check().map_err(|error| refused(&error))?;
        let filtered = question.filtered;
        let comparing = tokio::task::spawn_blocking(move || comparison.patch(&returned, filtered));
        match comparing.await.map_err(panicked)? {
            Ok(compared) => {
                all.filtered.extend(compared.filtered);
                if let Ok(patch) = &mut all.patch {
                    patch.extend(compared.patch);
                }
            }
            Err(error) => all.patch = Err(chain(&error)),
        }
    }
    Ok(all)
}

/// Tells whether anything is not as it was sent.
///
/// # Errors
/// The VM cannot be asked.
pub(super) async fn any(
    vm: &str,
    record: &Arc<Record>,
    limits: PatchLimits,
    context: &Context,
) -> Result<bool, Failure> {
    for part in record.head.parts.keys() {
        match returned(vm, record, part, limits, context).await? {
            Ok(returned) if returned.is_empty() && returned.left_behind().is_empty() => {}
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// Changes of one repository since it was sent; or the cause that its agent cannot tell.
async fn returned(
    vm: &str,
    record: &Arc<Record>,
    part: &str,
    limits: PatchLimits,
    context: &Context,
) -> Result<Result<Returned, String>, Failure> {
    let below = TreePath::try_from(part.to_owned());
    let path = match below.map(|path| String::from_utf8(path.as_bytes().to_vec())) {
        Ok(Ok(below)) => format!("{}/{below}", record.head.guest_path),
        Ok(Err(error)) => return Ok(Err(error.to_string())),
        Err(_) if part.is_empty() => record.head.guest_path.clone(),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let (path, max) = (&path, limits.bytes);
    let opened = context
        .session
        .change(|client| async move { client.vm_changes(vm, path, max).await });
    let stream = opened.await?;
    let manifest = manifest(record, part).to_bytes();
    let take = move |from: &mut dyn std::io::Read| Returned::read(from, limits);
    match ask_changes(stream, manifest, take).await {
        Ok(returned) => Ok(Ok(returned)),
        Err(error @ TransferError::Here(_)) => Err(refused(&error)),
        Err(error) => Ok(Err(chain(&error))),
    }
}

/// Place of a repository in the workspace: empty, or a path with a slash at its end.
fn prefix_of(part: &str) -> RepoPath {
    let path = TreePath::try_from(part.to_owned()).ok();
    path.map_or_else(Vec::new, |path| [path.as_bytes(), b"/"].concat())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the shape of a function for map_err"
)]
fn panicked(panic: tokio::task::JoinError) -> Failure {
    ApiError::new(ErrorCode::Internal, panic.to_string()).into()
}
