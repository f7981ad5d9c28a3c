//! Streams to a guest: exec, files, connect. The answer is 101, then the bytes of the guest's call, unchanged.
//!
//! The daemon copies and does not interpret: whoever reads the frames holds them to the limits of the protocol.

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use banger_api::error::ErrorBody;
use banger_api::routes::UPGRADE_PROTOCOL;
use banger_api::vm::Exec;
use banger_api::{ApiError, ErrorCode, VmId};
use banger_control::vm;
use banger_guest::{CallStream, ExecRequest, GetFiles, GuestPath, PutFiles, Tty};
use banger_store::VmRecord;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::answer::Failed;
use super::body::MAX_BODY;
use super::vms::reach;
use crate::context::Daemon;
use crate::failure;
use crate::gate::UnderWay;

/// Options of a command.
#[derive(Deserialize)]
pub(super) struct ExecQuery {
    /// The caller understands frames that report what the command reads, and which signals reached it.
    #[serde(default)]
    reports: bool,
}

/// Run a command in a guest.
#[utoipa::path(post, path = "/v1/vms/{ref}/exec", tag = "vms",
    params(("ref" = String, Path), ("reports" = Option<bool>, Query)), request_body = Exec,
    responses((status = 101, description = "exec frames follow"), (status = "default", body = ErrorBody)))]
pub(super) async fn exec(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(query): Query<ExecQuery>,
    mut request: Request,
) -> Result<Response, Failed> {
    let upgrade = upgrade_of(&mut request)?;
    let exec = exec_of(request).await?;
    let (record, client) = reach(&daemon, reference).await?;
    if exec.then_delete {
        daemon.control.runs().begin(record.id);
    }
    let guard = DeleteAfter {
        daemon: daemon.clone(),
        vm: exec.then_delete.then_some(record.id),
        open: Some(daemon.gate.stream("exec", record.name.as_str())),
    };
    let call = client
        .exec(&ExecRequest {
            reports: query.reports,
            ..exec_request(exec)?
        })
        .await
        .map_err(|e| failure::of_guest(&e))?;
    Ok(switch(upgrade, call, guard))
}

/// Reads the body by hand: it must be gone before the connection changes its protocol.
async fn exec_of(request: Request) -> Result<Exec, ApiError> {
    let invalid = |why: String| ApiError::new(ErrorCode::InvalidArgument, why);
    let bytes = axum::body::to_bytes(request.into_body(), MAX_BODY)
        .await
        .map_err(|error| invalid(format!("the request cannot be read: {error}")))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("the request is not valid: {error}")))
}

pub(super) fn exec_request(exec: Exec) -> Result<ExecRequest, ApiError> {
    let term = exec.term.unwrap_or_else(|| "xterm".to_owned());
    Ok(ExecRequest {
        argv: exec.argv,
        image_command: exec.image_command,
        env: exec.env,
        cwd: exec.cwd.as_deref().map(guest_path).transpose()?,
        user: exec.user,
        tty: exec.terminal.map(|size| Tty {
            rows: size.rows,
            cols: size.cols,
            term,
        }),
        stdin: exec.stdin,
        reports: false,
        timeout_ms: exec.timeout_ms,
    })
}

pub(super) fn guest_path(text: &str) -> Result<GuestPath, ApiError> {
    GuestPath::new(text).map_err(|error| {
        ApiError::new(
            ErrorCode::InvalidArgument,
            format!("guest path \"{text}\": {error}"),
        )
    })
}

/// Place that files go to or come from.
#[derive(Deserialize)]
pub(super) struct FilesQuery {
    path: String,
    /// Place what is inside the top entry, not the entry itself.
    #[serde(default)]
    contents: bool,
    /// Make missing parents.
    #[serde(default)]
    parents: bool,
    /// Replace only files that are as they were when their digest was asked for.
    #[serde(default)]
    unchanged: bool,
    /// If the path itself is a link, send what it points to.
    #[serde(default)]
    follow: bool,
}

/// Send files to a guest.
#[utoipa::path(post, path = "/v1/vms/{ref}/files/put", tag = "vms",
    params(("ref" = String, Path), ("path" = String, Query), ("contents" = Option<bool>, Query), ("parents" = Option<bool>, Query), ("unchanged" = Option<bool>, Query)),
    responses((status = 101, description = "a tar stream in frames follows"), (status = "default", body = ErrorBody)))]
pub(super) async fn put(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(query): Query<FilesQuery>,
    mut request: Request,
) -> Result<Response, Failed> {
    let upgrade = upgrade_of(&mut request)?;
    let put = PutFiles {
        unchanged: query.unchanged,
        must_be_dir: query.path.ends_with('/') && query.path != "/",
        dest: guest_path(trim(&query.path))?,
        contents: query.contents,
        parents: query.parents,
        owner: None,
    };
    let (record, client) = reach(&daemon, reference).await?;
    let open = daemon.gate.stream("put", record.name.as_str());
    let guard = (Sending::to(&daemon, &record), open);
    let call = client
        .put_files(&put)
        .await
        .map_err(|e| failure::of_guest(&e))?;
    Ok(switch(upgrade, call, guard))
}

/// Receive files from a guest.
#[utoipa::path(post, path = "/v1/vms/{ref}/files/get", tag = "vms",
    params(("ref" = String, Path), ("path" = String, Query), ("follow" = Option<bool>, Query)),
    responses((status = 101, description = "a tar stream in frames follows"), (status = "default", body = ErrorBody)))]
pub(super) async fn get(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(query): Query<FilesQuery>,
    mut request: Request,
) -> Result<Response, Failed> {
    let upgrade = upgrade_of(&mut request)?;
    let get = GetFiles {
        path: guest_path(trim(&query.path))?,
        follow: query.follow,
    };
    let (record, client) = reach(&daemon, reference).await?;
    let open = daemon.gate.stream("get", record.name.as_str());
    let call = client
        .get_files(&get)
        .await
        .map_err(|e| failure::of_guest(&e))?;
    Ok(switch(upgrade, call, open))
}

fn trim(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.starts_with('/') => "/",
        trimmed => trimmed,
    }
}

/// Target of a connection.
#[derive(Deserialize)]
pub(super) struct ConnectQuery {
    /// A TCP port of the guest's loopback.
    port: Option<u16>,
    /// A Unix socket of the guest.
    socket: Option<String>,
}

/// Connect to a TCP port or a Unix socket of a guest.
#[utoipa::path(post, path = "/v1/vms/{ref}/connect", tag = "vms",
    params(("ref" = String, Path), ("port" = Option<u16>, Query), ("socket" = Option<String>, Query)),
    responses((status = 101, description = "the connection's bytes follow"), (status = "default", body = ErrorBody)))]
pub(super) async fn connect(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(query): Query<ConnectQuery>,
    mut request: Request,
) -> Result<Response, Failed> {
    let upgrade = upgrade_of(&mut request)?;
    let socket = query.socket.as_deref().map(guest_path).transpose()?;
    let (record, client) = reach(&daemon, reference).await?;
    let open = daemon.gate.stream("connect", record.name.as_str());
    let connected = match (query.port, socket) {
        (Some(port), None) => client.connect_tcp(port).await,
        (None, Some(path)) => client.connect_unix(path).await,
        _ => {
            let message = "name either a port or a socket";
            return Err(ApiError::new(ErrorCode::InvalidArgument, message).into());
        }
    };
    let call = connected.map_err(|e| failure::of_guest(&e))?;
    Ok(switch(upgrade, call, open))
}

pub(super) fn upgrade_of(request: &mut Request) -> Result<OnUpgrade, ApiError> {
    let asked = request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|value| value == UPGRADE_PROTOCOL);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    upgrade.filter(|_| asked).ok_or_else(|| {
        let message = format!("this needs the header \"Upgrade: {UPGRADE_PROTOCOL}\"");
        ApiError::new(ErrorCode::InvalidArgument, message)
    })
}

/// Deletes a VM when the stream that it was made for has ended, however that came about.
struct DeleteAfter {
    daemon: Daemon,
    vm: Option<VmId>,
    open: Option<UnderWay>,
}

impl Drop for DeleteAfter {
    fn drop(&mut self) {
        let Some(id) = self.vm.take() else { return };
        let daemon = self.daemon.clone();
        // The stream ends when its VM's deletion has begun: in between the daemon must not take itself for idle.
        let open = self.open.take();
        tokio::task::spawn_blocking(move || {
            let _open = open;
            vm::delete_unclaimed(&daemon.control, id);
        });
    }
}

/// A VM of a run is not given up while files go to it.
struct Sending(Option<(Daemon, VmId)>);

impl Sending {
    fn to(daemon: &Daemon, record: &VmRecord) -> Self {
        Self(record.ephemeral.then(|| {
            daemon.control.runs().sending(record.id);
            (daemon.clone(), record.id)
        }))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some((daemon, vm)) = &self.0 {
            daemon.control.runs().sent(*vm);
        }
    }
}

/// Copies until either side ends, then drops the guard.
pub(super) fn switch(
    upgrade: OnUpgrade,
    mut call: CallStream,
    guard: impl Send + 'static,
) -> Response {
    tokio::spawn(async move {
        let _guard = guard;
        if let Ok(upgraded) = upgrade.await {
            // A side that goes away ends the copy; dropping the call tells the guest.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(upgraded), &mut call).await;
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static(UPGRADE_PROTOCOL)),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}
