//! One look at every name of a tree: what is not as it was sent.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use banger_guest::files::{FileKind, FilesError, KnownFile, LeftKind, Manifest};
use banger_guest::limits::{MAX_TRANSFER_DEPTH, MAX_TRANSFER_ENTRIES};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::failed::{as_path, failed};
use super::index::{self, Tracked};
use super::rules::Rules;

/// Paths that are not as they were sent, in order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Files and links that are new or other.
    pub(super) changed: BTreeSet<Vec<u8>>,
    /// Files that are not there any more.
    pub(super) gone: Vec<Vec<u8>>,
    /// New things that cannot go: repositories inside, sockets, fifos, devices.
    pub(super) left: Vec<(LeftKind, Vec<u8>)>,
}

/// Compares a tree with what was sent.
pub(super) fn walk(root: &Path, manifest: &Manifest) -> Result<Changes, FilesError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|error| failed("open", root, error.into()))?;
    let mut walk = Walk {
        root,
        manifest,
        rules: Rules::of(root)?,
        tracked: None,
        visited: BTreeSet::new(),
        names: 0,
        changes: Changes::default(),
    };
    walk.directory(top, Vec::new(), 0)?;
    for (path, files) in manifest.directories() {
        if !walk.visited.contains(path) {
            walk.all_gone(path, files);
        }
    }
    walk.changes.gone.sort_unstable();
    walk.changes.left.sort_unstable();
    Ok(walk.changes)
}

struct Walk<'a> {
    root: &'a Path,
    manifest: &'a Manifest,
    rules: Rules,
    /// Paths that git tracks beside those that were sent; looked up when it first matters.
    tracked: Option<Tracked>,
    /// Directories in which something was sent.
    visited: BTreeSet<Vec<u8>>,
    names: u64,
    changes: Changes,
}

impl Walk<'_> {
    fn directory(&mut self, fd: OwnedFd, path: Vec<u8>, depth: usize) -> Result<(), FilesError> {
        let shown = || self.root.join(as_path(&path));
        if depth > MAX_TRANSFER_DEPTH {
            return Err(FilesError::Refused {
                path: shown(),
                why: "is nested too deeply",
            });
        }
        let mut dir = Dir::new(fd).map_err(|error| failed("read", shown(), error.into()))?;
        let mut names = Vec::new();
        while let Some(entry) = dir.read() {
            let entry = entry.map_err(|error| failed("read", shown(), error.into()))?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b".." | b".git") {
                names.push((name.to_vec(), entry.file_type()));
            }
        }
        self.names += names.len() as u64;
        if self.names > MAX_TRANSFER_ENTRIES {
            return Err(FilesError::Limit {
                what: "names",
                limit: MAX_TRANSFER_ENTRIES,
            });
        }
        let fd = dir
            .fd()
            .map_err(|error| failed("read", shown(), error.into()))?;
        let has_rules = names.iter().any(|(name, _)| name == b".gitignore");
        let entered = has_rules && self.rules.enter(fd, &path)?;
        let below = self.names(fd, &path, names)?;
        for name in below {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = match rustix::fs::openat(fd, as_path(&name), flags, Mode::empty()) {
                Ok(inner) => inner,
                // It was there a moment ago.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => {
                    let shown = self.root.join(as_path(&path)).join(as_path(&name));
                    return Err(failed("open", shown, error.into()));
                }
            };
            let inner_path = joined(&path, &name);
            let sent = self.manifest.directory(&inner_path).is_some();
            // A repository that somebody made here has its own history.
            let is_repository =
                !sent && rustix::fs::statat(&inner, ".git", AtFlags::SYMLINK_NOFOLLOW).is_ok();
            if is_repository {
                self.changes.left.push((LeftKind::Repository, inner_path));
            } else {
                self.directory(inner, inner_path, depth + 1)?;
            }
        }
        if entered {
            self.rules.leave();
        }
        Ok(())
    }

    /// Compares the names of a directory with what was sent there; answers which directories to look into.
    fn names(
        &mut self,
        fd: impl AsFd + Copy,
        path: &[u8],
        names: Vec<(Vec<u8>, FileType)>,
    ) -> Result<Vec<Vec<u8>>, FilesError> {
        let sent = self.manifest.directory(path);
        let files = sent.unwrap_or_default();
        if sent.is_some() {
            self.visited.insert(path.to_vec());
        }
        let mut seen = vec![false; files.len()];
        let mut below = Vec::new();
        for (name, kind) in names {
            let known = files.binary_search_by(|file| file.name.cmp(&name)).ok();
            if known.is_some_and(|at| files[at].kind == FileKind::Apart) {
                continue;
            }
            let is_directory = match kind {
                FileType::Directory => true,
                FileType::Unknown => is_directory(fd, &name),
                _ => false,
            };
            let full = || joined(path, &name);
            if is_directory {
                let goes =
                    self.manifest.directory(&full()).is_some() || self.goes(&full(), true)?;
                if goes {
                    below.push(name);
                }
                continue;
            }
            let stat = match rustix::fs::statat(fd, as_path(&name), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => {
                    let shown = self.root.join(as_path(&full()));
                    return Err(failed("look at", shown, error.into()));
                }
            };
            let Some(now) = kind_of(&stat) else {
                if known.is_some() || self.goes(&full(), false)? {
                    self.changes.left.push((LeftKind::Special, full()));
                }
                continue;
            };
            match known {
                Some(at) => {
                    seen[at] = true;
                    if !is_as_sent(&files[at], now, &stat) {
                        self.changes.changed.insert(full());
                    }
                }
                None if self.goes(&full(), false)? => drop(self.changes.changed.insert(full())),
                None => {}
            }
        }
        for (file, _) in files.iter().zip(seen).filter(|(_, seen)| !seen) {
            if file.kind != FileKind::Apart {
                self.changes.gone.push(joined(path, &file.name));
            }
        }
        Ok(below)
    }

    /// Tells whether a name that nobody sent is part of the work here: it is not ignored, or git tracks it all the same.
    fn goes(&mut self, path: &[u8], is_directory: bool) -> Result<bool, FilesError> {
        if !self.rules.ignore(path, is_directory) {
            return Ok(true);
        }
        let tracked = match &mut self.tracked {
            Some(tracked) => tracked,
            none => none.insert(index::tracked(self.root)?),
        };
        Ok(tracked.has(path, is_directory))
    }

    fn all_gone(&mut self, directory: &[u8], files: &[KnownFile]) {
        let files = files.iter().filter(|file| file.kind != FileKind::Apart);
        let paths = files.map(|file| joined(directory, &file.name));
        self.changes.gone.extend(paths);
    }
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}

fn is_directory(fd: impl AsFd, name: &[u8]) -> bool {
    rustix::fs::statat(fd, as_path(name), AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// `None` for what git does not keep: sockets, fifos, devices.
fn kind_of(stat: &Stat) -> Option<FileKind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_mode & 0o100 != 0 => Some(FileKind::Executable),
        FileType::RegularFile => Some(FileKind::File),
        FileType::Symlink => Some(FileKind::Link),
        _ => None,
    }
}

/// The same kind, size and time: what git goes by, too.
fn is_as_sent(sent: &KnownFile, kind: FileKind, stat: &Stat) -> bool {
    sent.kind == kind
        && i64::try_from(sent.size) == Ok(stat.st_size)
        && sent.seconds == stat.st_mtime
        && u64::from(sent.nanos) == stat.st_mtime_nsec
}
