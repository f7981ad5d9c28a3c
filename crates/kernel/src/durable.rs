//! Files that are on the disk when the call returns, and their digests.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::KernelError;

/// Read by everyone, written by nobody: content that others rely on.
const SHARED_FILE: u32 = 0o444;

/// Writes a new file and syncs it.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KernelError> {
    let failed = |action| move |source| KernelError::io(action, path, source);
    let open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(SHARED_FILE)
        .open(path);
    let mut file = open.map_err(failed("create"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    file.sync_all().map_err(failed("sync"))
}

/// Syncs a folder, so that the names in it last.
pub(crate) fn sync_folder(path: &Path) -> Result<(), KernelError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| KernelError::io("sync", path, source))
}

/// `sha256:…` of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    named(Sha256::digest(bytes).as_slice())
}

/// `sha256:…` over named parts, in order.
pub(crate) fn digest_of_parts<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    named(hash.finalize().as_slice())
}

fn named(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
