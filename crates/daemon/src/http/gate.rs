//! The gate in front of every handler: requests and streamed answers are counted in it.

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use banger_api::{ApiError, ErrorCode, routes};
use futures::StreamExt as _;

use super::answer::Failed;
use crate::context::Daemon;

/// Lets a request through, or answers `shutting_down`.
pub(super) async fn through_gate(
    State(daemon): State<Daemon>,
    request: Request,
    next: Next,
) -> Response {
    let gate = &daemon.gate;
    let path = request.uri().path().to_owned();
    let reads = request.method() == Method::GET;
    let request_under_way = match (reads, path.as_str()) {
        // It decides about the gate itself.
        (false, routes::DAEMON_STOP) => None,
        (true, _) if gate.is_open() => None,
        (false, _) if let Some(under_way) = gate.request() => Some(under_way),
        _ => return going_down(),
    };
    let response = next.run(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let under_way = match reads {
        true => streamed(&path).map(|(kind, of)| gate.stream(kind, of)),
        false => request_under_way,
    };
    let Some(under_way) = under_way else {
        return response;
    };
    let (head, body) = response.into_parts();
    let body = body.into_data_stream().map(move |chunk| {
        // Held as long as the body is sent.
        let _held = &under_way;
        chunk
    });
    Response::from_parts(head, Body::from_stream(body))
}

/// Kind of a streamed answer to a `GET`, with its VM or image. Events belong to an operation, which counts itself.
fn streamed(path: &str) -> Option<(&'static str, &str)> {
    let mut parts = path.trim_start_matches('/').split('/').skip(1);
    match (parts.next()?, parts.next()?, parts.next()?) {
        ("vms", vm, "logs") => Some(("logs", vm)),
        ("images", image, "export") => Some(("export", image)),
        _ => None,
    }
}

fn going_down() -> Response {
    let error = ApiError::new(ErrorCode::ShuttingDown, "the daemon is going down");
    Failed(error.hint("the same command again starts the next one")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_and_exports_are_streams_of_what_they_name() {
        assert_eq!(streamed("/v1/vms/lab/logs"), Some(("logs", "lab")));
        assert_eq!(
            streamed("/v1/images/tools/export"),
            Some(("export", "tools"))
        );
        assert_eq!(streamed("/v1/operations/1/events"), None);
        assert_eq!(streamed("/v1/vms"), None);
    }
}
