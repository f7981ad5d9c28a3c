//! The record of what was sent, which the daemon keeps for us.

use banger_api::{ApiError, ErrorCode};
use banger_workspace::{Head, Record, RecordError};

use crate::context::Context;
use crate::failure::{Failure, chain};

/// What was sent to a VM, without its files; `None`: nothing was.
///
/// # Errors
/// There is no such VM, or the record is damaged.
pub async fn head(vm: &str, context: &Context) -> Result<Option<Head>, Failure> {
    let bytes = context
        .session
        .read(|client| async move { client.workspace(vm, true).await })
        .await?;
    bytes
        .map(|bytes| Head::from_bytes(&bytes).map_err(|error| damaged(&error)))
        .transpose()
}

/// What was sent to a VM; `None`: nothing was.
///
/// # Errors
/// There is no such VM, or the record is damaged.
pub async fn whole(vm: &str, context: &Context) -> Result<Option<Record>, Failure> {
    let bytes = context
        .session
        .read(|client| async move { client.workspace(vm, false).await })
        .await?;
    bytes
        .map(|bytes| Record::from_bytes(&bytes).map_err(|error| damaged(&error)))
        .transpose()
}

/// Has it kept.
pub(super) async fn keep(vm: &str, record: &Record, context: &Context) -> Result<(), Failure> {
    let bytes = record.to_bytes().map_err(|error| damaged(&error))?;
    let bytes = &bytes;
    context
        .session
        .change(|client| async move { client.keep_workspace(vm, bytes.clone()).await })
        .await
}

/// Has another head kept with the files that are in it already.
pub(super) async fn change(vm: &str, head: &Head, context: &Context) -> Result<(), Failure> {
    let record = whole(vm, context).await?.ok_or_else(|| {
        ApiError::new(ErrorCode::Internal, "the workspace's record is gone")
            .hint("banger vm workspace prepare sends everything again")
    })?;
    let record = Record {
        head: head.clone(),
        ..record
    };
    keep(vm, &record, context).await
}

fn damaged(error: &RecordError) -> Failure {
    ApiError::new(ErrorCode::Internal, chain(error))
        .hint("banger vm workspace prepare --force sends everything again")
        .into()
}
