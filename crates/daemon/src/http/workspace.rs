//! Workspaces: the record that a client keeps with a VM, and the files of a guest that it asks about.
//!
//! The record is the client's own words about its own machine; it is kept beside the VM's disks, goes with them, and is
//! not read here.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use banger_api::error::ErrorBody;
use banger_api::files::{FoundFile, TreeFiles};
use banger_api::{ApiError, ErrorCode};
use banger_guest::{Found, GuestPath, TreePath};
use serde::Deserialize;

use super::answer::{Answer, Failed, blocking};
use super::body::Body;
use super::vms::{reach, record};
use crate::context::Daemon;
use crate::failure;

/// Longest first line of a record, in bytes.
const MAX_HEAD: u64 = 1 << 20;
/// Reading gigabytes in an emulated guest takes minutes.
const DIGEST_DEADLINE: Duration = Duration::from_secs(600);

/// Which part of a record.
#[derive(Deserialize)]
pub(super) struct Which {
    /// Its first line alone.
    #[serde(default)]
    head: bool,
}

/// What a client sent to a VM as its workspace, in the client's own words. Empty: nothing.
#[utoipa::path(get, path = "/v1/vms/{ref}/workspace", tag = "vms",
    params(("ref" = String, Path), ("head" = Option<bool>, Query)),
    responses((status = 200, content_type = "application/octet-stream", body = String), (status = "default", body = ErrorBody)))]
pub(super) async fn show(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Failed> {
    let path = path_of(&daemon, reference).await?;
    let bytes = blocking(move || read(&path, which.head).map_err(failed("read"))).await?;
    Ok(bytes.into_response())
}

/// Keep the record of what was sent to a VM as its workspace.
#[utoipa::path(put, path = "/v1/vms/{ref}/workspace", tag = "vms", params(("ref" = String, Path)),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = ()), (status = "default", body = ErrorBody)))]
pub(super) async fn keep(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    bytes: Bytes,
) -> Answer<()> {
    let path = path_of(&daemon, reference).await?;
    blocking(move || write(&path, &bytes).map_err(failed("keep")))
        .await
        .map(Json)
}

/// What files of a guest are.
#[utoipa::path(post, path = "/v1/vms/{ref}/files/digest", tag = "vms", params(("ref" = String, Path)), request_body = TreeFiles,
    responses((status = 200, body = Vec<FoundFile>), (status = "default", body = ErrorBody)))]
pub(super) async fn digest(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(files): Body<TreeFiles>,
) -> Answer<Vec<FoundFile>> {
    let files = checked(files)?;
    let (_record, client) = reach(&daemon, reference).await?;
    let client = client.with_deadline(DIGEST_DEADLINE);
    let found = client
        .digest_files(&files)
        .await
        .map_err(|error| failure::of_guest(&error))?;
    if found.len() != files.files.len() {
        let message = "the guest answered about other files than it was asked about";
        return Err(ApiError::new(ErrorCode::GuestFailed, message).into());
    }
    let found = found.into_iter().map(|found| match found {
        Found::Absent => FoundFile::Absent,
        Found::File { sha256, executable } => FoundFile::File { sha256, executable },
        Found::Link { sha256 } => FoundFile::Link { sha256 },
        Found::Directory => FoundFile::Directory,
        Found::Other => FoundFile::Other,
    });
    Ok(Json(found.collect()))
}

/// Remove files of a guest, and directories that this leaves empty.
#[utoipa::path(post, path = "/v1/vms/{ref}/files/remove", tag = "vms", params(("ref" = String, Path)), request_body = TreeFiles,
    responses((status = 200, body = u64), (status = "default", body = ErrorBody)))]
pub(super) async fn remove(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(files): Body<TreeFiles>,
) -> Answer<u64> {
    let files = checked(files)?;
    let (_record, client) = reach(&daemon, reference).await?;
    let removed = client
        .with_deadline(DIGEST_DEADLINE)
        .remove_files(&files)
        .await;
    Ok(Json(removed.map_err(|error| failure::of_guest(&error))?))
}

fn checked(files: TreeFiles) -> Result<banger_guest::TreeFiles, ApiError> {
    let invalid = |error: &dyn std::fmt::Display| {
        ApiError::new(ErrorCode::InvalidArgument, error.to_string())
    };
    let paths = files.files.into_iter().map(TreePath::try_from);
    Ok(banger_guest::TreeFiles {
        root: GuestPath::new(&files.root).map_err(|error| invalid(&error))?,
        files: paths
            .collect::<Result<_, _>>()
            .map_err(|error| invalid(&error))?,
    })
}

async fn path_of(daemon: &Daemon, reference: String) -> Result<PathBuf, Failed> {
    let record = record(daemon, reference).await?;
    Ok(daemon.paths.vm(record.id).state.join("workspace"))
}

fn read(path: &std::path::Path, head: bool) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut bytes = Vec::new();
    if head {
        io::BufRead::read_until(
            &mut io::BufReader::new(file.take(MAX_HEAD)),
            b'\n',
            &mut bytes,
        )?;
    } else {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Whole or not at all. The VM's directory is its owner: with the VM gone there is nowhere to write.
fn write(path: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> ApiError {
    move |error| {
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
            io::ErrorKind::NotFound => ErrorCode::NotFound,
            _ => ErrorCode::Internal,
        };
        ApiError::new(
            code,
            format!("cannot {doing} the workspace's record: {error}"),
        )
    }
}
