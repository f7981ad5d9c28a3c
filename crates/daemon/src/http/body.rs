//! Request bodies: bounded JSON, whose errors are those of the API. An absent body is an empty object.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use banger_api::{ApiError, ErrorCode};
use serde::de::DeserializeOwned;

use super::answer::Failed;

/// Largest body, in bytes: the longest command line and environment fit.
pub(super) const MAX_BODY: usize = 1 << 20;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        let invalid = |message: String| Failed(ApiError::new(ErrorCode::InvalidArgument, message));
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| invalid(format!("the request cannot be read: {error}")))?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| invalid(format!("the request is not valid: {error}")))
    }
}
