//! The cache: an OCI image layout without an index, and parts of blobs beside it.
//!
//! ```text
//! <dir>/lock                 shared while a process fetches or reads, exclusive while one removes blobs (flock)
//! <dir>/parts/<hex>          an unfinished blob; its fetcher holds a lock on the file
//! <dir>/blobs/sha256/<hex>   a verified blob, read-only
//! ```

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_oci::Digest;
use banger_oci::manifest::MAX_JSON;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::RegistryError;

/// Pause between two tries to get a lock that another process holds.
pub(crate) const LOCK_TICK: Duration = Duration::from_millis(50);

/// A folder of verified blobs.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

/// A shared lock: nothing is removed from the cache while it lives.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

/// A blob or a part in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Space on the disk, in bytes.
    pub bytes: u64,
    /// True when it is complete and verified.
    pub complete: bool,
}

impl Cache {
    /// Opens the cache in `dir` and creates it if it is missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn open(dir: &Path) -> Result<Self, RegistryError> {
        let cache = Self {
            dir: dir.to_path_buf(),
        };
        for folder in [cache.blobs(), cache.parts()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|source| RegistryError::cache("make", &folder, source))?;
        }
        Ok(cache)
    }

    /// Folder of the cache: an image layout.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until no process removes blobs. None is removed while the returned lock lives.
    ///
    /// # Errors
    /// The lock cannot be had, or `cancelled` says to stop waiting.
    pub fn hold(&self, cancelled: &dyn Fn() -> bool) -> Result<Hold, RegistryError> {
        self.locked(FlockOperation::NonBlockingLockShared, cancelled)
    }

    fn locked(
        &self,
        how: FlockOperation,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Hold, RegistryError> {
        let path = self.dir.join("lock");
        let failed = |source| RegistryError::cache("lock", &path, source);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        loop {
            match flock(&lock, how) {
                Ok(()) => return Ok(Hold { _lock: lock }),
                Err(Errno::WOULDBLOCK) if cancelled() => return Err(RegistryError::Cancelled),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_TICK),
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }

    /// Tells whether a verified blob is there.
    pub fn has(&self, digest: Digest) -> bool {
        self.blob(digest).is_file()
    }

    /// A cached document, verified again; `None` when it is missing or damaged.
    pub(crate) fn document(&self, digest: Digest) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.blob(digest)).ok()?;
        file.take(MAX_JSON + 1).read_to_end(&mut bytes).ok()?;
        (Digest::of(&bytes) == digest).then_some(bytes)
    }

    /// Removes a blob that was damaged after it was verified.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self, digest: Digest) -> Result<(), RegistryError> {
        remove(&self.blob(digest))
    }

    /// All blobs and parts of the cache.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<CachedBlob>, RegistryError> {
        let mut all = Vec::new();
        for (folder, complete) in [(self.blobs(), true), (self.parts(), false)] {
            let failed = |source| RegistryError::cache("list", &folder, source);
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let digest = name
                    .to_str()
                    .and_then(|hex| format!("sha256:{hex}").parse().ok());
                // A blob that another process has just moved or removed is not there.
                if let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) {
                    all.push(CachedBlob {
                        digest,
                        bytes: metadata.blocks() * 512,
                        complete,
                    });
                }
            }
        }
        all.sort_by_key(|blob| (blob.digest, !blob.complete));
        Ok(all)
    }

    /// Removes all that is not in `keep` once no process fetches or reads. A dry run only lists it, without the wait.
    ///
    /// # Errors
    /// The lock cannot be had, something cannot be removed, or `cancelled` says to stop.
    pub fn prune(
        &self,
        keep: &HashSet<Digest>,
        dry_run: bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<CachedBlob>, RegistryError> {
        let _alone = match dry_run {
            true => None,
            false => Some(self.locked(FlockOperation::NonBlockingLockExclusive, cancelled)?),
        };
        let mut gone = self.list()?;
        gone.retain(|blob| !keep.contains(&blob.digest));
        if !dry_run {
            for blob in &gone {
                remove(&match blob.complete {
                    true => self.blob(blob.digest),
                    false => self.part(blob.digest),
                })?;
            }
        }
        Ok(gone)
    }

    fn blobs(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    fn parts(&self) -> PathBuf {
        self.dir.join("parts")
    }

    pub(crate) fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn part(&self, digest: Digest) -> PathBuf {
        self.parts().join(digest.hex())
    }

    /// Opens a part for writing; `None` when another fetcher has it.
    pub(crate) fn try_part(&self, digest: Digest) -> Result<Option<File>, RegistryError> {
        let path = self.part(digest);
        let failed = |source| RegistryError::cache("open", &path, source);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        }
        // The fetcher before may have finished or given up: then this file was renamed or removed.
        let same = match fs::metadata(&path) {
            Ok(named) => {
                let ours = file.metadata().map_err(failed)?;
                (named.dev(), named.ino()) == (ours.dev(), ours.ino())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(failed(source)),
        };
        Ok(same.then_some(file))
    }

    /// Moves a complete and verified part to its final place, durably.
    pub(crate) fn finish(&self, digest: Digest, part: &File) -> Result<(), RegistryError> {
        let (from, to) = (self.part(digest), self.blob(digest));
        let failed = |source| RegistryError::cache("keep", &to, source);
        let read_only = Permissions::from_mode(banger_durable::SHARED_FILE);
        part.set_permissions(read_only)
            .and_then(|()| part.sync_all())
            .and_then(|()| fs::rename(&from, &to))
            .and_then(|()| banger_durable::sync_folder(&self.blobs()))
            .map_err(failed)
    }

    /// Removes a useless part.
    pub(crate) fn drop_part(&self, digest: Digest) -> Result<(), RegistryError> {
        remove(&self.part(digest))
    }

    /// Keeps a small document, already verified.
    pub(crate) fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        let path = self.blob(digest);
        banger_durable::publish(&path, bytes)
            .map_err(|source| RegistryError::cache("write", &path, source))
    }
}

fn remove(path: &Path) -> Result<(), RegistryError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RegistryError::cache("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("oci")).unwrap();
        (dir, cache)
    }

    #[test]
    fn a_part_has_one_writer_and_becomes_a_blob() {
        let (_dir, cache) = cache();
        let digest = Digest::of(b"content");
        let mut part = cache.try_part(digest).unwrap().unwrap();
        assert!(cache.try_part(digest).unwrap().is_none());
        part.write_all(b"content").unwrap();
        cache.finish(digest, &part).unwrap();
        assert!(cache.has(digest));
        assert_eq!(cache.document(digest).unwrap(), b"content");
        assert!(!cache.part(digest).exists());
    }

    #[test]
    fn a_document_that_rotted_is_not_there() {
        let (_dir, cache) = cache();
        let digest = Digest::of(b"content");
        cache.keep(digest, b"Content").unwrap();
        assert!(cache.document(digest).is_none());
        cache.forget(digest).unwrap();
        assert!(!cache.has(digest));
    }

    #[test]
    fn a_prune_keeps_what_is_wanted_and_waits_for_who_reads() {
        let (_dir, cache) = cache();
        let (kept, gone) = (Digest::of(b"kept"), Digest::of(b"gone"));
        cache.keep(kept, b"kept").unwrap();
        cache.keep(gone, b"gone").unwrap();
        drop(cache.try_part(gone).unwrap());
        let keep = HashSet::from([kept]);
        assert_eq!(cache.prune(&keep, true, &|| false).unwrap().len(), 2);
        let hold = cache.hold(&|| false).unwrap();
        let waited = cache.prune(&keep, false, &|| true).unwrap_err();
        assert!(matches!(waited, RegistryError::Cancelled));
        drop(hold);
        cache.prune(&keep, false, &|| false).unwrap();
        let left: Vec<Digest> = cache.list().unwrap().iter().map(|b| b.digest).collect();
        assert_eq!(left, [kept]);
    }
}
