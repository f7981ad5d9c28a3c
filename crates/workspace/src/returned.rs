//! Changes that a guest reports: contents in numbered files of a folder of our own, names only in memory. No name of
//! the guest's ever becomes a path of this host.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use banger_guest::files::archive::{ArchiveReader, EntryKind};
use banger_guest::files::{
    CHANGED, FileKind, FilesError, GONE, KnownFile, LEFT, LeftKind, Manifest,
};

use crate::patch::{Offences, PatchError, PatchLimits, check_path};
use crate::pathspec::Pathspec;
use crate::record::Record;
use crate::tracked::{EXECUTABLE, FILE, LINK, RepoPath};

/// Bytes of a file that are read at once.
const PIECE: usize = 64 * 1024;

/// Changes of one repository since it was sent.
#[derive(Debug)]
pub struct Returned {
    folder: tempfile::TempDir,
    files: Vec<ReturnedFile>,
    gone: Vec<RepoPath>,
    left_behind: Vec<LeftBehind>,
}

/// A file that is new or other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnedFile {
    /// As git writes it.
    pub(crate) mode: u32,
    /// Its path in the repository.
    pub(crate) path: RepoPath,
    /// Its content has this number for a name.
    pub(crate) number: usize,
    /// Its content has a line that ends with CR LF.
    pub(crate) has_crlf: bool,
}

/// Something in the guest that no patch can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its kind.
    pub kind: LeftKind,
    /// Its path in the workspace.
    pub path: RepoPath,
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
            left_behind: Vec::new(),
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
                (None, EntryKind::File { .. }) if entry.path == LEFT => {
                    let mut list = Vec::new();
                    let read = Content(&mut reader).read_to_end(&mut list);
                    read.map_err(FilesError::Stream)?;
                    let left = left_behind(&list).ok_or_else(|| refuse("is not a list"))?;
                    returned.left_behind.extend(left);
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
    /// Names those that do not.
    pub fn check(&self) -> Result<(), PatchError> {
        let mut offences = Offences::default();
        for path in self.paths() {
            if let Err(error) = check_path(path) {
                offences.add(error)?;
            }
        }
        offences.finish()
    }

    /// Drops paths that are not selected. `prefix` is the repository's path in the workspace, empty or ending in `/`.
    pub fn select(&mut self, selection: &Pathspec, prefix: &[u8]) {
        let meant = |path: &RepoPath| selection.selects(&[prefix, path].concat());
        self.files.retain(|file| meant(&file.path));
        self.gone.retain(meant);
        self.left_behind.retain(|left| meant(&left.path));
    }

    /// Changes in the guest that no patch can hold.
    pub fn left_behind(&self) -> &[LeftBehind] {
        &self.left_behind
    }

    /// Every name.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        let files = self.files.iter().map(|file| &file.path);
        files.chain(&self.gone).map(Vec::as_slice)
    }

    /// There is nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.gone.is_empty()
    }

    /// The folder in which contents are, by their numbers.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Each file that is new or other.
    pub(crate) fn files(&self) -> &[ReturnedFile] {
        &self.files
    }

    /// Files that were removed.
    pub(crate) fn gone(&self) -> &[RepoPath] {
        &self.gone
    }

    fn one(&mut self, mode: u32, path: &[u8], from: &mut dyn Read) -> Result<(), FilesError> {
        let number = self.files.len();
        let at = self.folder.path().join(number.to_string());
        let mut has_crlf = false;
        let mut to = File::create(&at).map_err(|source| kept(&at, source))?;
        let mut piece = vec![0; PIECE];
        let mut last = 0;
        loop {
            let read = from.read(&mut piece).map_err(FilesError::Stream)?;
            if read == 0 {
                break;
            }
            let got = &piece[..read];
            has_crlf |= (last == b'\r' && got.first() == Some(&b'\n'))
                || got.windows(2).any(|pair| pair == b"\r\n");
            last = got.last().copied().unwrap_or_default();
            to.write_all(got).map_err(|source| kept(&at, source))?;
        }
        self.files.push(ReturnedFile {
            mode,
            path: path.to_vec(),
            number,
            has_crlf,
        });
        Ok(())
    }
}

/// The sent state that a guest needs to find the changes in one repository of a workspace: named as in
/// [`crate::Head::parts`].
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

/// Parses the guest's list of changes that no patch can hold.
fn left_behind(list: &[u8]) -> Option<Vec<LeftBehind>> {
    let lines = list.split(|byte| *byte == 0);
    let lines = lines.filter(|line| !line.is_empty());
    let one = |line: &[u8]| {
        let (kind, path) = line.split_first()?;
        Some(LeftBehind {
            kind: LeftKind::of(*kind)?,
            path: path.to_vec(),
        })
    };
    lines.map(one).collect()
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
