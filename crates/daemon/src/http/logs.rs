//! Console logs as text, once or followed.

use std::io;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use banger_api::error::ErrorBody;
use banger_api::{ApiError, ErrorCode};
use serde::Deserialize;

use super::answer::Failed;
use super::vms::record;
use crate::context::Daemon;
use crate::log_file;

/// The part of a log.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    follow: bool,
    tail: Option<u64>,
}

/// A VM's console log.
#[utoipa::path(get, path = "/v1/vms/{ref}/logs", tag = "vms",
    params(("ref" = String, Path), ("follow" = Option<bool>, Query), ("tail" = Option<u64>, Query)),
    responses((status = 200, content_type = "text/plain", body = String), (status = "default", body = ErrorBody)))]
pub(super) async fn logs(
    State(daemon): State<Daemon>,
    Path(reference): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Failed> {
    let record = record(&daemon, reference).await?;
    let path = daemon.paths.vm(record.id).console_log();
    let failed = |error: io::Error| {
        ApiError::new(
            ErrorCode::Internal,
            format!("console log of \"{}\": {error}", record.name),
        )
    };
    let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let body = match log_file::read(&path, which.tail, which.follow).map_err(failed)? {
        Some(chunks) => Body::from_stream(chunks),
        None => Body::empty(),
    };
    Ok((text, body).into_response())
}
