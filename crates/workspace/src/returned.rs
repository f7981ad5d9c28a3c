//! What a guest says has changed: contents in numbered files of a folder of our own, names only in memory. No name of
//! the guest's ever becomes a path of this host.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::PathBuf;

use banger_guest::files::archive::{ArchiveReader, EntryKind};
use banger_guest::files::{CHANGED, FileKind, FilesError, GONE, KnownFile, Manifest};

use crate::patch::{PatchError, PatchLimits, check_path};
use crate::record::Record;
use crate::tracked::{EXECUTABLE, FILE, LINK, RepoPath};

/// Bytes of a file that are read at once.
const PIECE: usize = 64 * 1024;

/// What of one repository is not as it was sent.
#[derive(Debug)]
pub struct Returned {
    folder: tempfile::TempDir,
    /// Mode and path of each file that is new or other; its content is called by its place here.
    files: Vec<(u32, RepoPath)>,
    gone: Vec<RepoPath>,
    converted: bool,
}

impl Returned {
    /// Reads a guest's answer.
    ///
    /// # Errors
    /// It is no tar stream of the kind that was asked for, is larger than allowed, or cannot be kept here.
    pub fn read(from: &mut dyn Read, limits: PatchLimits) -> Result<Self, FilesError> {
        let folder = tempfile::Builder::new()
            .prefix("banger-returned-")
            .tempdir();
        let mut returned = Self {
            folder: folder.map_err(|source| kept(std::env::temp_dir(), source))?,
            files: Vec::new(),
            gone: Vec::new(),
            converted: false,
        };
        let mut reader = ArchiveReader::new(from);
        let mut left = limits.bytes;
        while let Some(entry) = reader.next_entry()? {
            let refuse = |why| FilesError::Refused {
                path: entry.display_path(),
                why,
            };
            let content = match &entry.kind {
                EntryKind::File { size } => *size,
                EntryKind::Symlink { target } => target.len() as u64,
                EntryKind::Directory | EntryKind::Other => return Err(refuse("has no place here")),
            };
            left = left.checked_sub(content).ok_or(FilesError::Limit {
                what: "bytes",
                limit: limits.bytes,
            })?;
            if returned.files.len() > limits.files || returned.gone.len() > limits.files {
                return Err(FilesError::Limit {
                    what: "files",
                    limit: limits.files as u64,
                });
            }
            match (entry.path.strip_prefix(CHANGED), &entry.kind) {
                (Some(path), EntryKind::Symlink { target }) => {
                    returned.one(LINK, path, &mut &target[..])?;
                }
                (Some(path), _) => {
                    let mode = if entry.mode & 0o100 == 0 {
                        FILE
                    } else {
                        EXECUTABLE
                    };
                    returned.one(mode, path, &mut Content(&mut reader))?;
                }
                (None, EntryKind::File { .. }) if entry.path == GONE => {
                    let mut list = Vec::new();
                    let read = Content(&mut reader).read_to_end(&mut list);
                    read.map_err(FilesError::Stream)?;
                    let names = list.split(|byte| *byte == 0);
                    let names = names.filter(|name| !name.is_empty());
                    returned.gone.extend(names.map(<[u8]>::to_vec));
                }
                (None, _) => return Err(refuse("has no place here")),
            }
        }
        reader.drain()?;
        Ok(returned)
    }

    /// Every name leads below the repository, and not into a `.git`.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), PatchError> {
        self.paths().try_for_each(check_path)
    }

    /// Every name.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.files.iter().map(|(_, path)| path);
        files.chain(&self.gone).map(Vec::as_slice)
    }

    /// There is nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.gone.is_empty()
    }

    /// Some file has line ends that a git may have been told to convert: then the guest's own git should compare.
    pub fn may_be_converted(&self) -> bool {
        self.converted
    }

    /// Where contents are, in the order of [`Self::files`].
    pub(crate) fn contents(&self) -> impl Iterator<Item = PathBuf> + '_ {
        (0..self.files.len()).map(|number| self.folder.path().join(number.to_string()))
    }

    /// Mode and path of each file that is new or other.
    pub(crate) fn files(&self) -> &[(u32, RepoPath)] {
        &self.files
    }

    /// Files that are not there any more.
    pub(crate) fn gone(&self) -> &[RepoPath] {
        &self.gone
    }

    fn one(&mut self, mode: u32, path: &[u8], from: &mut dyn Read) -> Result<(), FilesError> {
        let at = self.folder.path().join(self.files.len().to_string());
        let mut to = File::create(&at).map_err(|source| kept(&at, source))?;
        let mut piece = vec![0; PIECE];
        let mut last = 0;
        loop {
            let read = from.read(&mut piece).map_err(FilesError::Stream)?;
            if read == 0 {
                break;
            }
            let got = &piece[..read];
            self.converted |= (last == b'\r' && got.first() == Some(&b'\n'))
                || got.windows(2).any(|pair| pair == b"\r\n");
            last = got.last().copied().unwrap_or_default();
            to.write_all(got).map_err(|source| kept(&at, source))?;
        }
        self.files.push((mode, path.to_vec()));
        Ok(())
    }
}

/// What a guest needs to know of what was sent, to tell what changed since in one repository of a workspace: named as
/// in [`crate::Head::parts`].
pub fn manifest(record: &Record, part: &str) -> Manifest {
    let prefix_of = |name: &str| {
        let path = banger_guest::TreePath::try_from(name.to_owned()).ok();
        path.map_or_else(Vec::new, |path| [path.as_bytes(), b"/"].concat())
    };
    let prefix = prefix_of(part);
    let others = record.head.parts.keys().map(|name| prefix_of(name));
    let inside: Vec<_> = others
        .filter(|other| other.len() > prefix.len() && other.starts_with(&prefix))
        .collect();
    let mut manifest = Manifest::default();
    let known = |kind, sent: &crate::record::Sent| KnownFile {
        name: Vec::new(),
        kind,
        size: sent.size,
        seconds: sent.modified.0,
        nanos: sent.modified.1,
    };
    for other in &inside {
        let path = other[prefix.len()..].strip_suffix(b"/").unwrap_or_default();
        manifest.add(
            path,
            known(FileKind::Apart, &crate::record::Sent::default()),
        );
    }
    for (path, sent) in record.files.range(prefix.clone()..) {
        let Some(path_here) = path.strip_prefix(&prefix[..]) else {
            break;
        };
        if inside.iter().any(|other| path.starts_with(other)) {
            continue;
        }
        let kind = match sent.mode {
            LINK => FileKind::Link,
            EXECUTABLE => FileKind::Executable,
            _ => FileKind::File,
        };
        manifest.add(path_here, known(kind, sent));
    }
    manifest
}

/// The content of the entry that was read last.
struct Content<'a, R>(&'a mut ArchiveReader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_content(to).map_err(std::io::Error::other)
    }
}

fn kept(path: impl Into<PathBuf>, source: std::io::Error) -> FilesError {
    FilesError::Io {
        doing: "keep",
        path: path.into(),
        source,
    }
}
