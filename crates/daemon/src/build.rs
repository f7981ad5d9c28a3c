//! Identity of this build, so that a newer one replaces an older daemon.

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// The build of the running executable: its modification time in nanoseconds, 20 digits, then its version. Of two
/// builds the later one compares greater. Read at the first call: a binary that is replaced later does not change it.
pub fn build_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let meta = std::env::current_exe().and_then(std::fs::metadata).ok();
        let ns = meta.map_or(0, |meta| {
            i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
        });
        format!("{ns:020}-{}", env!("CARGO_PKG_VERSION"))
    })
}
