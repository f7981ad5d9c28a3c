//! One folder of the guest's root, open: its files by their names alone, links not followed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::setup::files::Place;

/// Entries that are looked at. A folder of a guest's own making may have any number.
const MAX_ENTRIES: usize = 20_000;

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: OwnedFd,
}

/// Mode and owner of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    mode: u32,
    /// User and group; none for this program's own.
    ids: Option<(u32, u32)>,
}

/// Ours, for all to read.
pub(super) const PUBLIC: Owner = Owner {
    mode: 0o644,
    ids: None,
};

impl Folder {
    /// Opens the folder at a path, made when it is missing.
    pub(super) fn at(place: &Place, path: &str) -> io::Result<Self> {
        Self::of(&place.make_dirs(path)?)
    }

    /// The folder that holds the end of the links at a path, and the name there.
    pub(super) fn of_file(place: &Place, path: &str) -> io::Result<(Self, String)> {
        let (dir, name) = place.last_dir(path)?;
        Ok((Self::of(&dir)?, name))
    }

    fn of(dir: &OwnedFd) -> io::Result<Self> {
        // What was opened for its path alone cannot be listed.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(dir, ".", flags, Mode::empty())?;
        Ok(Self { dir })
    }

    /// Names of its entries; those that are no UTF-8 are nobody's here.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            if names.len() == MAX_ENTRIES {
                return Err(io::Error::other(format!(
                    "has more than {MAX_ENTRIES} entries"
                )));
            }
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Content of a file of at most so many bytes, with its owner; `None` where there is no such file.
    pub(super) fn read(&self, name: &str, most: u64) -> io::Result<Option<(Vec<u8>, Owner)>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        let mut content = Vec::new();
        file.take(most + 1).read_to_end(&mut content)?;
        if content.len() as u64 > most {
            return Err(io::Error::other(format!("is longer than {most} bytes")));
        }
        let owner = Owner {
            mode: stat.st_mode & 0o7777,
            ids: Some((stat.st_uid, stat.st_gid)),
        };
        Ok(Some((content, owner)))
    }

    /// Target of a link; `None` where there is no link.
    pub(super) fn link_target(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match rustix::fs::readlinkat(&self.dir, name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a file, whole at every moment: whoever reads it finds the one before or this one.
    pub(super) fn put(&self, name: &str, content: &[u8], owner: Owner) -> io::Result<()> {
        const BESIDE: &str = ".banger-new";
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // Of a start that was cut off.
        self.remove(BESIDE)?;
        let mut file = File::from(rustix::fs::openat(
            &self.dir,
            BESIDE,
            flags,
            Mode::from_raw_mode(0o600),
        )?);
        file.write_all(content)?;
        if let Some((uid, gid)) = owner.ids {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(owner.mode))?;
        Ok(rustix::fs::renameat(&self.dir, BESIDE, &self.dir, name)?)
    }

    /// Makes a link where there is nothing; false where there is something.
    pub(super) fn link(&self, name: &str, target: &str) -> io::Result<bool> {
        match rustix::fs::symlinkat(target, &self.dir, name) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file or link, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
