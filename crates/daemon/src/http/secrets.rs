//! Secrets that stay on the host. A value comes in and is never given out.

use axum::body::Bytes;
use axum::extract::{Path, State};
use banger_api::error::ErrorBody;
use banger_api::secret::Secret;
use banger_api::{ApiError, ErrorCode};
use banger_control::vm;
use banger_secret::{SecretName, SecretValue, VALUE_MAX_BYTES};
use banger_store::{VmRecord, vm as store};
use zeroize::{Zeroize as _, Zeroizing};

use super::answer::{Answer, answer};
use crate::context::Daemon;
use crate::secrets::Kept;

/// All secrets, without their values.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets",
    responses((status = 200, body = Vec<Secret>), (status = "default", body = ErrorBody)))]
pub(super) async fn list(State(daemon): State<Daemon>) -> Answer<Vec<Secret>> {
    answer(move || {
        let vms = daemon.read(store::list)?;
        let kept = daemon.secrets.list()?.into_iter();
        Ok(kept.map(|kept| view(kept, &vms)).collect())
    })
    .await
}

/// Keep a secret: the body is its value. VMs that use it have the new value at once.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path)),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = Secret), (status = "default", body = ErrorBody)))]
pub(super) async fn set(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Secret> {
    let value = value_of(body);
    answer(move || {
        let name = parsed(&name)?;
        let value = value.map_err(|error| {
            let message = format!("secret \"{name}\": {error}");
            ApiError::new(ErrorCode::InvalidArgument, message)
                .hint("a value is one line of visible ASCII characters, as keys and tokens are")
        })?;
        let kept = daemon.secrets.set(&name, &value)?;
        let vms = daemon.read(store::list)?;
        for user in vms.iter().filter(|vm| vm.network.uses_secret(&name)) {
            vm::give_secrets(&daemon.control, user.id)?;
        }
        Ok(view(kept, &vms))
    })
    .await
}

/// Forget a secret that no VM uses.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path)),
    responses((status = 200, body = Secret), (status = "default", body = ErrorBody)))]
pub(super) async fn delete(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
) -> Answer<Secret> {
    answer(move || {
        let name = parsed(&name)?;
        let vms = daemon.read(store::list)?;
        let users = vms.iter().filter(|vm| vm.network.uses_secret(&name));
        let users: Vec<&str> = users.map(|user| user.name.as_str()).collect();
        if let Some(first) = users.first() {
            let message = format!("secret \"{name}\" is used by {}", users.join(", "));
            return Err(ApiError::new(ErrorCode::InUse, message).hint(format!(
                "banger vm set {first} --no-secret {name} takes it from a VM"
            )));
        }
        Ok(view(daemon.secrets.delete(&name)?, &vms))
    })
    .await
}

/// The value in a body, whose memory is wiped.
fn value_of(body: Bytes) -> Result<SecretValue, banger_secret::SecretError> {
    // With the line end that does not count.
    let most = body.len().min(VALUE_MAX_BYTES + 3);
    let bytes = Zeroizing::new(body[..most].to_vec());
    if let Ok(mut own) = body.try_into_mut() {
        own.as_mut().zeroize();
    }
    SecretValue::of_input(bytes)
}

fn parsed(name: &str) -> Result<SecretName, ApiError> {
    name.parse().map_err(|error: banger_secret::SecretError| {
        ApiError::new(ErrorCode::InvalidArgument, error.to_string())
    })
}

fn view(kept: Kept, vms: &[VmRecord]) -> Secret {
    let users = vms.iter().filter(|vm| vm.network.uses_secret(&kept.name));
    Secret {
        vms: users.map(|user| user.name.clone()).collect(),
        name: kept.name.to_string(),
        updated_at: kept.updated_at,
    }
}
