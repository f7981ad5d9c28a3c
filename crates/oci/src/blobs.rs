//! Storage of a local image's blobs: a folder, or an archive that holds one. Blobs are read without unpacking.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use banger_disk::tree::{NodeId, NodeKind, OpenSource, Tree, printable};

use crate::digest::{Digest, Hashing};
use crate::manifest::MAX_JSON;

/// Most links that are followed to one file of an archive: `docker save` wrote some for layers that repeat.
const MAX_HOPS: usize = 8;

/// Failure to get a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not there.
    #[error("there is no \"{name}\" in it")]
    Missing {
        /// Name of the blob.
        name: String,
    },
    /// It cannot be read.
    #[error("cannot read \"{name}\" of it")]
    Read {
        /// Name of the blob.
        name: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It lies in pieces, which no tool writes.
    #[error("\"{name}\" of it has holes")]
    Sparse {
        /// Name of the blob.
        name: String,
    },
    /// A document larger than is read.
    #[error("\"{name}\" of it has {size} bytes, at most {MAX_JSON} are read")]
    TooLarge {
        /// Name of the document.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// Its bytes do not have the digest in its name.
    #[error("\"{name}\" of it is damaged: its digest is {found}")]
    Digest {
        /// The expected digest, as a name.
        name: String,
        /// Digest of its bytes.
        found: Digest,
    },
    /// It is longer or shorter than announced.
    #[error("\"{name}\" of it has {found} bytes, {expected} were announced")]
    Size {
        /// Name of the blob.
        name: String,
        /// Its size in bytes.
        found: u64,
        /// The announced size in bytes.
        expected: u64,
    },
}

/// A place with blobs.
#[derive(Debug)]
pub(crate) enum BlobStore {
    /// An OCI image layout.
    Folder(PathBuf),
    /// An archive of a layout, or one of `docker save`.
    Archive(Box<Tree>),
}

/// A blob: a range of a file.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) name: String,
    pub(crate) file: Arc<File>,
    pub(crate) range: Range<u64>,
}

impl BlobStore {
    /// Tells whether the top looks like that of a root file system, rather than that of an image.
    pub(crate) fn looks_like_a_root(&self) -> bool {
        let has = |name: &str| match self {
            Self::Folder(root) => root.join(name).symlink_metadata().is_ok(),
            Self::Archive(tree) => tree.lookup_path(name.as_bytes()).is_some(),
        };
        has("etc") && (has("bin") || has("usr"))
    }

    /// The file at `path` below the store's root.
    pub(crate) fn file(&self, path: &str) -> Result<Blob, BlobError> {
        let name = printable(path.as_bytes());
        match self {
            Self::Folder(root) => {
                let file =
                    File::open(root.join(path)).and_then(|file| Ok((file.metadata()?.len(), file)));
                match file {
                    Ok((len, file)) => Ok(Blob {
                        name,
                        file: Arc::new(file),
                        range: 0..len,
                    }),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Err(BlobError::Missing { name })
                    }
                    Err(source) => Err(BlobError::Read { name, source }),
                }
            }
            Self::Archive(tree) => in_archive(tree, path, name),
        }
    }

    /// The blob with `digest`, not verified yet.
    pub(crate) fn blob(&self, digest: Digest) -> Result<Blob, BlobError> {
        self.file(&format!("blobs/sha256/{}", digest.hex()))
    }

    /// The document with `digest`, verified.
    pub(crate) fn document(&self, digest: Digest, size: u64) -> Result<Vec<u8>, BlobError> {
        let blob = self.blob(digest)?;
        let found = blob.range.end - blob.range.start;
        if found != size {
            return Err(BlobError::Size {
                name: digest.to_string(),
                found,
                expected: size,
            });
        }
        self.verified(digest)
    }

    /// The document with `digest`, whose size is not announced, verified.
    pub(crate) fn verified(&self, digest: Digest) -> Result<Vec<u8>, BlobError> {
        let bytes = self.blob(digest)?.document()?;
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(BlobError::Digest {
                name: digest.to_string(),
                found,
            });
        }
        Ok(bytes)
    }
}

impl Blob {
    /// All its bytes, when it is small enough to be a document.
    pub(crate) fn document(&self) -> Result<Vec<u8>, BlobError> {
        let size = self.range.end - self.range.start;
        if size > MAX_JSON {
            return Err(BlobError::TooLarge {
                name: self.name.clone(),
                size,
            });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        self.reader()
            .read_to_end(&mut bytes)
            .map_err(|source| self.unreadable(source))?;
        Ok(bytes)
    }

    /// A reader from its start.
    pub(crate) fn reader(&self) -> BlobReader {
        BlobReader {
            source: OpenSource::File(Arc::clone(&self.file)),
            at: self.range.start,
            end: self.range.end,
        }
    }

    /// Reads all of it for its digest.
    pub(crate) fn digest(&self) -> Result<Digest, BlobError> {
        let hashing = Hashing::new(self.reader());
        Ok(hashing
            .finish()
            .map_err(|source| self.unreadable(source))?
            .0)
    }

    pub(crate) fn unreadable(&self, source: io::Error) -> BlobError {
        BlobError::Read {
            name: self.name.clone(),
            source,
        }
    }
}

/// Reads a range of a file that others may read at the same time.
#[derive(Debug)]
pub(crate) struct BlobReader {
    source: OpenSource,
    at: u64,
    end: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer
            .len()
            .min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        self.source.read_exact_at(&mut buffer[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

fn in_archive(tree: &Tree, path: &str, name: String) -> Result<Blob, BlobError> {
    let Some(node) = find(tree, path.as_bytes()) else {
        return Err(BlobError::Missing { name });
    };
    let NodeKind::File(contents) = tree.node(node).kind else {
        return Err(BlobError::Missing { name });
    };
    if contents.size() == 0 {
        return empty(name);
    }
    let mut extents = contents.extents();
    let (offset, source) = match (extents.next(), extents.next()) {
        (Some(only), None) if only.at == 0 && only.len == contents.size() => {
            (only.offset, only.source)
        }
        _ => return Err(BlobError::Sparse { name }),
    };
    match tree.source(source).open() {
        Ok(OpenSource::File(file)) => Ok(Blob {
            name,
            file,
            range: offset..offset + contents.size(),
        }),
        Ok(OpenSource::Bytes(_)) => Err(BlobError::Missing { name }),
        Err(source) => Err(BlobError::Read { name, source }),
    }
}

/// A file of no bytes, which no extent of the archive holds.
fn empty(name: String) -> Result<Blob, BlobError> {
    match File::open("/dev/null") {
        Ok(file) => Ok(Blob {
            name,
            file: Arc::new(file),
            range: 0..0,
        }),
        Err(source) => Err(BlobError::Read { name, source }),
    }
}

/// The node at `path`, through links between files of the archive.
fn find(tree: &Tree, path: &[u8]) -> Option<NodeId> {
    let mut path = path.to_vec();
    for _ in 0..MAX_HOPS {
        let node = tree.lookup_path(&path)?;
        let NodeKind::Symlink(target) = tree.node(node).kind else {
            return Some(node);
        };
        let folder = path
            .rsplitn(2, |&byte| byte == b'/')
            .nth(1)
            .unwrap_or_default();
        let mut parts: Vec<&[u8]> = folder.split(|&byte| byte == b'/').collect();
        for part in target.split(|&byte| byte == b'/') {
            match part {
                b".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        path = parts.join(&b'/');
    }
    None
}
