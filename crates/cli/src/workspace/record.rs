//! The records of what was sent, which the daemon keeps for us: one for each workspace of a VM.

use banger_api::{ApiError, ErrorCode, Timestamp};
use banger_workspace::{Head, Record, RecordError};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::failure::{Failure, chain};

/// Hexadecimal digits of a key.
const KEY: usize = 32;

/// A workspace of a VM.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its record without the files.
    pub head: Head,
    /// Time of its last sending.
    pub kept_at: Timestamp,
    /// Its key; none: it was kept by an older client.
    key: Option<String>,
}

impl Kept {
    /// The name that users know it by: that of its folder in the guest.
    pub fn name(&self) -> &str {
        let path = &self.head.guest_path;
        path.rsplit('/').next().unwrap_or(path)
    }
}

/// The workspaces of a VM, the one that was sent last first.
///
/// # Errors
/// There is no such VM, or a record is damaged.
pub async fn all(vm: &str, context: &Context) -> Result<Vec<Kept>, Failure> {
    let listed = context
        .session
        .read(|client| async move { client.workspaces(vm).await })
        .await?;
    let one = |listed: banger_api::files::KeptWorkspace| {
        let head = Head::from_bytes(listed.head.as_bytes()).map_err(|error| damaged(&error))?;
        Ok(Kept {
            head,
            kept_at: listed.kept_at,
            key: listed.key,
        })
    };
    listed.into_iter().map(one).collect()
}

/// All of a workspace's record.
///
/// # Errors
/// It is gone, or damaged.
pub async fn whole(vm: &str, kept: &Kept, context: &Context) -> Result<Record, Failure> {
    let key = kept.key.as_deref();
    let bytes = context
        .session
        .read(|client| async move { client.workspace(vm, key).await })
        .await?;
    let record = bytes.map(|bytes| Record::from_bytes(&bytes).map_err(|error| damaged(&error)));
    record.unwrap_or_else(|| Err(gone()))
}

/// Has a record kept, in the place of that of the same folder of the guest.
pub(super) async fn keep(vm: &str, record: &Record, context: &Context) -> Result<(), Failure> {
    let bytes = record.to_bytes().map_err(|error| damaged(&error))?;
    let (bytes, key) = (&bytes, &key_of(&record.head.guest_path)[..]);
    context
        .session
        .change(|client| async move { client.keep_workspace(vm, key, bytes.clone()).await })
        .await
}

/// Forgets what an older client kept, once the same is kept by its key.
pub(super) async fn forget_old(vm: &str, kept: &Kept, context: &Context) -> Result<(), Failure> {
    if kept.key.is_some() {
        return Ok(());
    }
    context
        .session
        .change(|client| async move { client.forget_workspace(vm, None).await })
        .await
}

/// Has another head kept with the files that are in it already.
pub(super) async fn change(vm: &str, head: &Head, context: &Context) -> Result<(), Failure> {
    let all = all(vm, context).await?;
    let kept = all
        .iter()
        .find(|kept| kept.head.guest_path == head.guest_path);
    let kept = kept.ok_or_else(gone)?;
    let record = Record {
        head: head.clone(),
        ..whole(vm, kept, context).await?
    };
    keep(vm, &record, context).await?;
    forget_old(vm, kept, context).await
}

fn key_of(guest_path: &str) -> String {
    let digest = Sha256::digest(guest_path);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chars().take(KEY).collect()
}

fn gone() -> Failure {
    ApiError::new(ErrorCode::Internal, "the workspace's record is gone")
        .hint("banger vm workspace prepare sends everything again")
        .into()
}

fn damaged(error: &RecordError) -> Failure {
    ApiError::new(ErrorCode::Internal, chain(error))
        .hint("banger vm workspace prepare --force sends everything again")
        .into()
}
