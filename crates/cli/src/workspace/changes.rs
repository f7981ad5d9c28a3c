//! What changed in a guest, as its agent says it, compared here with what was sent.

use std::sync::Arc;

use banger_api::{ApiError, ErrorCode};
use banger_guest::TreePath;
use banger_guest::files::{TransferError, ask_changes};
use banger_workspace::export::Base;
use banger_workspace::patch::PatchLimits;
use banger_workspace::{Comparison, Record, Returned, manifest};

use super::export::refused;
use crate::context::Context;
use crate::failure::{Failure, chain};

/// The outcome of a comparison on this host.
#[derive(Debug)]
pub(super) enum Compared {
    /// The patch.
    Exact(Vec<u8>),
    /// The patch of files as they are; with their line ends as the guest's git would convert them it may be another.
    LineEnds(Vec<u8>),
    /// This host cannot tell, and why; the guest's git can.
    NotHere(String),
}

/// The patch of all repositories of a workspace, one after the other.
///
/// # Errors
/// The VM cannot be asked, or the guest offers what is refused.
pub(super) async fn patch(
    vm: &str,
    record: &Arc<Record>,
    base: &Base,
    limits: PatchLimits,
    context: &Context,
) -> Result<Compared, Failure> {
    let (mut bytes, mut exact) = (Vec::new(), true);
    for part in record.head.parts.keys() {
        let opening = {
            let (record, part, base) = (Arc::clone(record), part.clone(), base.clone());
            tokio::task::spawn_blocking(move || Comparison::open(&record, &part, &base))
        };
        let asked = returned(vm, record, part, limits, context).await?;
        let comparison = match opening.await {
            Ok(Ok(comparison)) => comparison,
            Ok(Err(error)) => return Ok(Compared::NotHere(chain(&error))),
            Err(panic) => {
                return Err(ApiError::new(ErrorCode::Internal, panic.to_string()).into());
            }
        };
        let returned = match asked {
            Ok(returned) => returned,
            Err(why) => return Ok(Compared::NotHere(why)),
        };
        returned.check().map_err(|error| refused(&error))?;
        exact &= !returned.may_be_converted();
        let comparing = tokio::task::spawn_blocking(move || comparison.patch(&returned));
        match comparing.await {
            Ok(Ok(patch)) => bytes.extend(patch),
            Ok(Err(error)) => return Ok(Compared::NotHere(chain(&error))),
            Err(panic) => {
                return Err(ApiError::new(ErrorCode::Internal, panic.to_string()).into());
            }
        }
    }
    Ok(if exact {
        Compared::Exact(bytes)
    } else {
        Compared::LineEnds(bytes)
    })
}

/// What of one repository is not as it was sent; or why its agent cannot tell.
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
