//! Files below one directory of the host, which no link on the way can lead out of.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::WorkspaceError;
use crate::survey::as_path;

/// A directory.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

/// Kind of a path's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Link,
    Directory,
    Other,
    Absent,
}

/// Content of a path, opened.
pub(crate) enum Opened {
    File(File, Stat),
    Link(Vec<u8>, Stat),
    Directory,
    Other,
    Absent,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| WorkspaceError::file("open", path)(error.into()))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    fn at(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            &self.fd,
            as_path(path),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            how,
        )
    }

    fn failed(&self, path: &[u8]) -> impl FnOnce(Errno) -> WorkspaceError {
        let path = self.path.join(as_path(path));
        move |error| WorkspaceError::file("read", path)(error.into())
    }

    /// The file's own state, links not followed; `None` where there is nothing.
    pub(crate) fn stat(&self, path: &[u8]) -> Result<Option<Stat>, WorkspaceError> {
        let found = self
            .at(path, OFlags::PATH | OFlags::NOFOLLOW)
            .and_then(rustix::fs::fstat);
        match found {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    pub(crate) fn kind(&self, path: &[u8]) -> Result<Kind, WorkspaceError> {
        let stat = self.stat(path)?;
        Ok(
            match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                None => Kind::Absent,
                Some(FileType::RegularFile) => Kind::File,
                Some(FileType::Symlink) => Kind::Link,
                Some(FileType::Directory) => Kind::Directory,
                Some(_) => Kind::Other,
            },
        )
    }

    pub(crate) fn opened(&self, path: &[u8]) -> Result<Opened, WorkspaceError> {
        // NONBLOCK: a fifo must not be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match self.at(path, flags) {
            Ok(fd) => {
                let stat = rustix::fs::fstat(&fd).map_err(self.failed(path))?;
                Ok(match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => Opened::File(fd.into(), stat),
                    FileType::Directory => Opened::Directory,
                    _ => Opened::Other,
                })
            }
            Err(Errno::LOOP) => self.link(path),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Opened::Absent),
            // A socket (open(2)).
            Err(Errno::NXIO) => Ok(Opened::Other),
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    /// It is a link, or a link is on the way to it.
    fn link(&self, path: &[u8]) -> Result<Opened, WorkspaceError> {
        let fd = match self.at(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOENT | Errno::NOTDIR) => return Ok(Opened::Absent),
            Err(error) => return Err(self.failed(path)(error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(self.failed(path))?;
        let target = rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(self.failed(path))?;
        Ok(Opened::Link(target.into_bytes(), stat))
    }
}
