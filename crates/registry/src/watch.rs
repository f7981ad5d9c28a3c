//! The caller's side of a fetch: progress and cancellation.

use banger_oci::Digest;

/// Progress of one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobProgress {
    /// The blob.
    pub digest: Digest,
    /// Bytes that are in the cache.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// True when it is complete and verified.
    pub finished: bool,
}

/// Receives progress and answers questions; called from several threads.
pub trait Watch: Send + Sync {
    /// Tells whether to stop; called several times a second. `true` ends a fetch with
    /// [`crate::RegistryError::Cancelled`].
    fn is_cancelled(&self) -> bool;
    /// Receives a problem that the user should know and that does not end the fetch.
    fn warn(&self, message: &str);
    /// Receives the layers of the image, lowest first, with their sizes in bytes.
    fn layers(&self, layers: &[(Digest, u64)]);
    /// Receives the progress of a layer, at most ten times a second for each. Must not block.
    fn progress(&self, progress: BlobProgress);
}
