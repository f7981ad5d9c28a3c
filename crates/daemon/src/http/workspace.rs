//! Workspaces: the records that a client keeps with a VM, and the files of a guest that it asks about.
//!
//! A record is the client's own words about its own machine; it is kept beside the VM's disks, goes with them, and is
//! not read here.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use banger_api::error::ErrorBody;
use banger_api::files::{FoundFile, KeptWorkspace, TreeFiles};
use banger_api::{ApiError, ErrorCode, Timestamp};
use banger_guest::{Found, GuestPath, TreePath};
use serde::Deserialize;

use super::answer::{Answer, Failed, blocking};
use super::body::Body;
use super::vms::{reach, record};
use crate::context::Daemon;
use crate::failure;

/// The file of the record that an older client kept, and the folder of those with keys.
const OLD: &str = "workspace";
const KEYED: &str = "workspaces";
/// Longest first line of a record, in bytes.
const MAX_HEAD: u64 = 1 << 20;
/// Reading gigabytes in an emulated guest takes minutes.
const DIGEST_DEADLINE: Duration = Duration::from_secs(600);

/// The record, and the part of it.
#[derive(Deserialize)]
pub(super) struct Which {
    /// Its first line alone.
    #[serde(default)]
    head: bool,
    /// The workspace; none: the one that an older client kept.
    key: Option<String>,
}

/// Record of what a client sent to a VM as a workspace, in the client's own words. Empty: nothing.
#[utoipa::path(get, path = "/v1/vms/{ref}/workspace", tag = "vms",
    params(("ref" = String, Path), ("head" = Option<bool>, Query), ("key" = Option<String>, Query)),
    responses((status = 200, content_type = "application/octet-stream", body = String), (status = "default", body = ErrorBody)))]
pub(super) async fn show(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Failed> {
    let path = path_of(&daemon, reference, which.key.as_deref()).await?;
    let bytes = blocking(move || read(&path, which.head).map_err(failed("read"))).await?;
    Ok(bytes.into_response())
}

/// Keep the record of what was sent to a VM as a workspace.
#[utoipa::path(put, path = "/v1/vms/{ref}/workspace", tag = "vms",
    params(("ref" = String, Path), ("key" = Option<String>, Query)),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = ()), (status = "default", body = ErrorBody)))]
pub(super) async fn keep(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(which): Query<Which>,
    bytes: Bytes,
) -> Answer<()> {
    let path = path_of(&daemon, reference, which.key.as_deref()).await?;
    blocking(move || write(&path, &bytes).map_err(failed("keep")))
        .await
        .map(Json)
}

/// Forget the record of a workspace. One that is not there is forgotten.
#[utoipa::path(delete, path = "/v1/vms/{ref}/workspace", tag = "vms",
    params(("ref" = String, Path), ("key" = Option<String>, Query)),
    responses((status = 200, body = ()), (status = "default", body = ErrorBody)))]
pub(super) async fn forget(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(which): Query<Which>,
) -> Answer<()> {
    let path = path_of(&daemon, reference, which.key.as_deref()).await?;
    let remove = move || match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("forget")(error)),
        _ => Ok(()),
    };
    blocking(remove).await.map(Json)
}

/// The records of all workspaces of a VM, the one that was kept last first.
#[utoipa::path(get, path = "/v1/vms/{ref}/workspaces", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, body = Vec<KeptWorkspace>), (status = "default", body = ErrorBody)))]
pub(super) async fn list(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<Vec<KeptWorkspace>> {
    let record = record(&daemon, reference).await?;
    let folder = daemon.paths.vm(record.id).state.to_path_buf();
    blocking(move || all(&folder).map_err(failed("read")))
        .await
        .map(Json)
}

/// States of files of a guest.
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

async fn path_of(daemon: &Daemon, reference: String, key: Option<&str>) -> Result<PathBuf, Failed> {
    let name = match key {
        None => OLD.to_owned(),
        Some(key) if is_key(key) => format!("{KEYED}/{key}"),
        Some(_) => {
            let message = "a workspace's key is up to 64 hexadecimal digits";
            return Err(ApiError::new(ErrorCode::InvalidArgument, message).into());
        }
    };
    let record = record(daemon, reference).await?;
    Ok(daemon.paths.vm(record.id).state.join(name))
}

fn is_key(key: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (1..=64).contains(&key.len()) && key.bytes().all(digit)
}

/// The records below a VM's folder.
fn all(folder: &std::path::Path) -> io::Result<Vec<KeptWorkspace>> {
    let mut found: Vec<_> = kept(&folder.join(OLD), None)?.into_iter().collect();
    let entries = match std::fs::read_dir(folder.join(KEYED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(found.into_iter().map(|(_, one)| one).collect());
        }
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_key(&name) {
            found.extend(kept(&entry.path(), Some(name))?);
        }
    }
    found.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
    Ok(found.into_iter().map(|(_, one)| one).collect())
}

fn kept(
    path: &std::path::Path,
    key: Option<String>,
) -> io::Result<Option<(SystemTime, KeptWorkspace)>> {
    let head = read(path, true)?;
    if head.is_empty() {
        return Ok(None);
    }
    let modified = std::fs::metadata(path)?.modified()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH);
    let since = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    let one = KeptWorkspace {
        key,
        head: String::from_utf8_lossy(&head).trim_end().to_owned(),
        kept_at: Timestamp::from_millisecond(since).unwrap_or(Timestamp::UNIX_EPOCH),
    };
    Ok(Some((modified, one)))
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
    if let Some(folder) = path.parent().filter(|folder| folder.ends_with(KEYED)) {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
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
