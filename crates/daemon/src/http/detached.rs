//! Commands that go on without whoever started them.

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use banger_api::detached::{DetachedCommand, DetachedState};
use banger_api::error::ErrorBody;
use banger_api::vm::Exec;
use banger_api::{ApiError, ErrorCode, Timestamp};
use banger_guest::limits::MAX_DETACHED;
use banger_guest::{Attach, Detached, ExecFailureKind, ExitStatus};
use serde::Deserialize;

use super::answer::{Answer, Failed};
use super::body::Body;
use super::streams::{exec_request, switch, upgrade_of};
use super::vms::reach;
use crate::context::Daemon;
use crate::failure;

/// Start a command that goes on by itself. It gets no terminal and no input.
#[utoipa::path(post, path = "/v1/vms/{ref}/detached", tag = "vms", params(("ref" = String, Path)), request_body = Exec,
    responses((status = 200, body = DetachedCommand), (status = "default", body = ErrorBody)))]
pub(super) async fn start(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Body(exec): Body<Exec>,
) -> Answer<DetachedCommand> {
    if exec.terminal.is_some() || exec.stdin || exec.then_delete {
        let message = "a detached command gets neither a terminal nor input, and keeps its VM";
        return Err(ApiError::new(ErrorCode::InvalidArgument, message).into());
    }
    let request = exec_request(exec)?;
    let (_record, client) = reach(&daemon, reference).await?;
    let detached = client.detach(&request).await;
    match detached.map_err(|error| failure::of_guest(&error))? {
        Detached::Started(command) => Ok(Json(shown(command))),
        Detached::Failed(failed) => {
            let code = match failed.kind {
                ExecFailureKind::Cwd | ExecFailureKind::User => ErrorCode::InvalidArgument,
                ExecFailureKind::NotFound => ErrorCode::NoSuchProgram,
                ExecFailureKind::Permission => ErrorCode::NotExecutable,
                ExecFailureKind::Other => ErrorCode::GuestFailed,
            };
            Err(ApiError::new(code, failed.message).into())
        }
    }
}

/// The commands that were started so since the VM's start, the oldest first.
#[utoipa::path(get, path = "/v1/vms/{ref}/detached", tag = "vms", params(("ref" = String, Path)),
    responses((status = 200, body = Vec<DetachedCommand>), (status = "default", body = ErrorBody)))]
pub(super) async fn list(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
) -> Answer<Vec<DetachedCommand>> {
    let (_record, client) = reach(&daemon, reference).await?;
    let commands = client.detached().await;
    let commands = commands.map_err(|error| failure::of_guest(&error))?;
    Ok(Json(
        commands.into_iter().take(MAX_DETACHED).map(shown).collect(),
    ))
}

/// The one to follow.
#[derive(Deserialize)]
pub(super) struct AttachQuery {
    id: u32,
    /// Send its output too, not only its end.
    #[serde(default)]
    output: bool,
}

/// Follow a detached command: what it has put out, what it puts out, and how it ends.
#[utoipa::path(post, path = "/v1/vms/{ref}/detached/attach", tag = "vms",
    params(("ref" = String, Path), ("id" = u32, Query), ("output" = Option<bool>, Query)),
    responses((status = 101, description = "exec frames of the guest follow"), (status = "default", body = ErrorBody)))]
pub(super) async fn attach(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(query): Query<AttachQuery>,
    mut request: Request,
) -> Result<Response, Failed> {
    let upgrade = upgrade_of(&mut request)?;
    let attach = Attach {
        id: query.id,
        output: query.output,
    };
    let (record, client) = reach(&daemon, reference).await?;
    let open = daemon.gate.stream("attach", record.name.as_str());
    let call = client.attach(attach).await;
    let call = call.map_err(|error| failure::of_guest(&error))?;
    Ok(switch(upgrade, call, open))
}

fn shown(command: banger_guest::DetachedCommand) -> DetachedCommand {
    let status = command.ended.as_ref().map(|end| end.status);
    DetachedCommand {
        id: command.id,
        argv: command.argv,
        pid: command.pid,
        state: match status {
            None => DetachedState::Running,
            Some(Some(_)) => DetachedState::Ended,
            Some(None) => DetachedState::Lost,
        },
        exit_code: status.flatten().map(|status| match status {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => 128 | signal,
        }),
        started_at: time(command.started_unix_ms),
        ended_at: command
            .ended
            .filter(|end| end.status.is_some())
            .map(|end| time(end.unix_ms)),
        log_bytes: command.log_bytes,
        log_cut: command.log_cut,
    }
}

/// The guest's clock may say anything.
fn time(unix_ms: u64) -> Timestamp {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
