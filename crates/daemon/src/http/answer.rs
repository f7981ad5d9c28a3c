//! Answers: JSON with the right status, errors as their documented body.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use banger_api::error::ErrorBody;
use banger_api::{ApiError, ErrorCode};

/// An error on its way out.
pub(super) struct Failed(pub(super) ApiError);

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorBody { error: self.0 })).into_response()
    }
}

/// Answer of a handler.
pub(super) type Answer<T> = Result<Json<T>, Failed>;
/// The same for a request that started an operation.
pub(super) type Started = Result<(StatusCode, Json<banger_api::vm::Accepted>), Failed>;

/// Runs `work` where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, Failed> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Failed),
        Err(_panic) => Err(Failed(ApiError::new(
            ErrorCode::Internal,
            "banger failed at this; its log has the details",
        ))),
    }
}

/// [`blocking`], answered as JSON.
pub(super) async fn answer<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Answer<T> {
    blocking(work).await.map(Json)
}

/// [`blocking`], answered with 202: the operation runs.
pub(super) async fn started(
    work: impl FnOnce() -> Result<banger_api::vm::Accepted, ApiError> + Send + 'static,
) -> Started {
    blocking(work)
        .await
        .map(|accepted| (StatusCode::ACCEPTED, Json(accepted)))
}
