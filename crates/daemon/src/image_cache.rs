//! The cache of container images' blobs, which pulls fill and nothing but a prune empties.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use banger_api::image::{CachedBlob, PrunedCache};
use banger_api::{ApiError, ErrorCode};
use banger_registry::{Cache, RegistryError};

use crate::context::Daemon;
use crate::failure;

/// Time that a prune waits for pulls that read or fill the cache.
const PATIENCE: Duration = Duration::from_secs(5);

/// Removes every blob, or only says what that would be. Images do not need them any more; a pull would fetch them
/// again.
///
/// # Errors
/// `in_use` while a pull goes on; `no_space` or `internal` when the cache cannot be read or changed.
pub(crate) fn prune_cache(daemon: &Daemon, dry_run: bool) -> Result<PrunedCache, ApiError> {
    let began = Instant::now();
    let gone = Cache::open(&daemon.paths.oci_cache())
        .and_then(|cache| cache.prune(&HashSet::new(), dry_run, &|| began.elapsed() > PATIENCE))
        .map_err(|error| match error {
            RegistryError::Cancelled => ApiError::new(
                ErrorCode::InUse,
                "the cache is in use: an image is being pulled",
            )
            .hint("wait for the pull, or cancel it"),
            other => failure::of_disk(&other),
        })?;
    Ok(PrunedCache {
        freed_bytes: gone.iter().map(|blob| blob.bytes).sum(),
        blobs: gone
            .into_iter()
            .map(|blob| CachedBlob {
                digest: blob.digest.to_string(),
                bytes: blob.bytes,
                complete: blob.complete,
            })
            .collect(),
    })
}
