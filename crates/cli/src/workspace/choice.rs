//! Choice of one of a VM's workspaces.
//!
//! ```text
//! --workspace NAME ─► that one
//! else the repository around the current folder ─► its workspace, also after it was moved
//! else the only one there is; of several none, or the last for a command that needs none
//! ```

use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode};
use banger_workspace::Git;

use super::record::{self, Kept};
use crate::context::Context;
use crate::failure::Failure;

/// The workspace that is meant.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// The workspace, by its folder's name in the guest [default: that of the current folder, or the only one]
    #[arg(long, value_name = "NAME", help_heading = None)]
    workspace: Option<String>,
}

/// Result of a choice.
#[derive(Debug)]
enum Picked {
    One(Box<Kept>),
    Several(Vec<Kept>),
    None,
}

impl Choice {
    /// The workspace that is meant.
    ///
    /// # Errors
    /// There is none, or there are several and none of them is meant more than the others.
    pub async fn of(&self, vm: &str, context: &Context) -> Result<Kept, Failure> {
        let all = record::all(vm, context).await?;
        let all = all.into_iter().filter(|kept| kept.head.complete).collect();
        match picked(all, self.workspace.clone()).await? {
            Picked::One(kept) => Ok(*kept),
            Picked::Several(all) => {
                let names: Vec<_> = all.iter().map(Kept::name).collect();
                let message = format!("this VM has several workspaces: {}", names.join(", "));
                Err(ApiError::new(ErrorCode::InvalidArgument, message)
                    .hint("--workspace NAME says which; in a repository's folder its own is meant")
                    .into())
            }
            Picked::None => Err(none()),
        }
    }

    /// The workspace that a command starts in: the last one when nothing says which.
    ///
    /// # Errors
    /// One was named and is not there.
    pub async fn or_last(&self, vm: &str, context: &Context) -> Result<Option<Kept>, Failure> {
        let all = match record::all(vm, context).await {
            Ok(all) => all,
            // The command itself will tell.
            Err(_untold) if self.workspace.is_none() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let all = all.into_iter().filter(|kept| kept.head.complete).collect();
        Ok(match picked(all, self.workspace.clone()).await? {
            Picked::One(kept) => Some(*kept),
            Picked::Several(all) => all.into_iter().next(),
            Picked::None => None,
        })
    }
}

async fn picked(all: Vec<Kept>, name: Option<String>) -> Result<Picked, Failure> {
    let here = std::env::current_dir().ok();
    let picking = tokio::task::spawn_blocking(move || pick(all, name.as_deref(), here.as_deref()));
    match picking.await {
        Ok(picked) => picked,
        Err(panic) => Err(ApiError::new(ErrorCode::Internal, panic.to_string()).into()),
    }
}

fn pick(mut all: Vec<Kept>, name: Option<&str>, here: Option<&Path>) -> Result<Picked, Failure> {
    if let Some(name) = name {
        let is_it = |kept: &Kept| kept.name() == name || kept.head.guest_path == name;
        let names: Vec<_> = all.iter().map(|kept| kept.name().to_owned()).collect();
        return match all.into_iter().find(is_it) {
            Some(kept) => Ok(Picked::One(Box::new(kept))),
            None if names.is_empty() => Err(none()),
            None => {
                let message = format!("this VM has no workspace \"{name}\"");
                let error = ApiError::new(ErrorCode::NotFound, message);
                Err(error.hint(format!("there is: {}", names.join(", "))).into())
            }
        };
    }
    let around = here.and_then(|here| {
        let inside = all.iter().enumerate();
        let inside = inside.filter(|(_, kept)| here.starts_with(&kept.head.source));
        inside
            .max_by_key(|(_, kept)| kept.head.source.len())
            .map(|(n, _)| n)
    });
    if let Some(n) = around {
        return Ok(Picked::One(Box::new(all.swap_remove(n))));
    }
    let top = here.and_then(top_of);
    if let Some(top) = top
        && let Some(n) = all.iter().position(|kept| has_moved(kept, &top))
    {
        let mut kept = all.swap_remove(n);
        kept.head.source = top.to_string_lossy().into_owned();
        return Ok(Picked::One(Box::new(kept)));
    }
    Ok(match all.len() {
        0 => Picked::None,
        1 => all
            .pop()
            .map_or(Picked::None, |kept| Picked::One(Box::new(kept))),
        _ => Picked::Several(all),
    })
}

/// The folder with a `.git` around a folder.
fn top_of(here: &Path) -> Option<PathBuf> {
    let mut folders = here.ancestors();
    folders
        .find(|folder| folder.join(".git").exists())
        .map(Path::to_owned)
}

/// Tells whether a repository is the one that a workspace came from, under a new path: it is not where it was, and this
/// one has the commit that was sent.
pub(super) fn has_moved(kept: &Kept, to: &Path) -> bool {
    let Some(commit) = &kept.head.host_head else {
        return false;
    };
    if Path::new(&kept.head.source).join(".git").exists() {
        return false;
    }
    let spec = format!("{commit}^{{commit}}");
    let found = Git::new(to).line(&["rev-parse", "-q", "--verify", "--end-of-options", &spec]);
    matches!(found, Ok(Some(_)))
}

fn none() -> Failure {
    ApiError::new(ErrorCode::WrongState, "no repository was sent to this VM")
        .hint("banger vm workspace prepare NAME PATH sends one")
        .into()
}
