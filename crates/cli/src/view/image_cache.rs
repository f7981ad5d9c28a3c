//! Report of a prune of the cache of fetched layers.

use banger_api::ByteSize;
use banger_api::image::{CachedBlob, PrunedCache};
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;

/// Things that a prune removed, or would remove.
#[derive(Debug, Serialize)]
pub struct Pruned<'a> {
    /// The blobs.
    pub blobs: &'a [CachedBlob],
    /// Bytes of disk that they had allocated.
    pub freed_bytes: u64,
    /// Nothing was removed.
    pub dry_run: bool,
}

impl<'a> Pruned<'a> {
    /// Of this answer.
    pub fn new(pruned: &'a PrunedCache, dry_run: bool) -> Self {
        Self {
            blobs: &pruned.blobs,
            freed_bytes: pruned.freed_bytes,
            dry_run,
        }
    }
}

impl Render for Pruned<'_> {
    fn text(&self, page: &mut Page) {
        for blob in self.blobs {
            let part = if blob.complete { "" } else { "  (unfinished)" };
            page.line(format!("{}  {}{part}", blob.digest, ByteSize(blob.bytes)));
        }
    }
}
