//! Counts of a copy.

use banger_api::ByteSize;
use banger_guest::TransferDone;
use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;

/// Counts of a copy.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Sockets, fifos and devices that were left out.
    pub skipped: u64,
}

impl From<TransferDone> for Copied {
    fn from(done: TransferDone) -> Self {
        Self {
            entries: done.entries,
            bytes: done.bytes,
            skipped: done.skipped,
        }
    }
}

impl Render for Copied {
    fn text(&self, page: &mut Page) {
        let (entries, bytes) = (self.entries, ByteSize(self.bytes));
        page.line(format!("{entries} entries, {bytes}"));
    }
}
