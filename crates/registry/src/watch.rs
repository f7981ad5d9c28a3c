//! The caller's side of a fetch: progress, and the question whether to go on.

use banger_oci::Digest;

/// How far a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobProgress {
    /// The blob.
    pub digest: Digest,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Whether it is complete and verified.
    pub finished: bool,
}

/// Takes progress and answers questions; called from several threads.
pub trait Watch: Send + Sync {
    /// Asked several times a second; `true` ends the fetch with [`crate::RegistryError::Cancelled`].
    fn is_cancelled(&self) -> bool;
    /// What the user should know, though it goes on.
    fn warn(&self, message: &str);
    /// The image is known: these are its layers, lowest first, with their sizes in bytes.
    fn layers(&self, layers: &[(Digest, u64)]);
    /// A layer got further; at most ten times a second for each. Must not block.
    fn progress(&self, progress: BlobProgress);
}
