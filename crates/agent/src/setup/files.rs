//! The guest's files, changed as the host says. Every path is resolved inside the guest's root (`openat2(2)` with
//! `RESOLVE_IN_ROOT`): links of the image are followed as the image itself would, and never lead out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use banger_guest::{Failure, GuestFile, GuestPath};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::fstab;
use crate::guest::failure;

/// Bytes of an existing file that is edited.
const MAX_EDITED: u64 = 4 * 1024 * 1024;
/// Links in the last name of a path that are followed.
const MAX_LINKS: usize = 8;

/// Applies one change.
///
/// # Errors
/// Names the file.
pub fn apply(root: &Path, file: &GuestFile) -> Result<(), Failure> {
    let path = path_of(file);
    let failed = |error: io::Error| failure(format!("file {path}"), check_of(file), error);
    let place = Place::open(root).map_err(failed)?;
    change(&place, file).map_err(failed)
}

fn path_of(file: &GuestFile) -> &str {
    match file {
        GuestFile::Write { path, .. }
        | GuestFile::WriteIfAbsent { path, .. }
        | GuestFile::AddLineOnce { path, .. }
        | GuestFile::Symlink { path, .. }
        | GuestFile::Dir { path, .. }
        | GuestFile::Remove { path } => path.as_str(),
        GuestFile::Fstab { .. } => "/etc/fstab",
    }
}

fn check_of(file: &GuestFile) -> &'static str {
    match file {
        GuestFile::Write { .. } | GuestFile::WriteIfAbsent { .. } => "write",
        GuestFile::AddLineOnce { .. } => "add line",
        GuestFile::Fstab { .. } => "edit",
        GuestFile::Symlink { .. } => "make link",
        GuestFile::Dir { .. } => "make directory",
        GuestFile::Remove { .. } => "remove",
    }
}

fn change(place: &Place, file: &GuestFile) -> io::Result<()> {
    match file {
        GuestFile::Write {
            path,
            mode,
            uid,
            gid,
            content,
        } => place.write(path.relative(), &content.0, *mode, (*uid, *gid)),
        GuestFile::WriteIfAbsent {
            path,
            mode,
            uid,
            gid,
            content,
        } => {
            if place.exists(path.relative())? {
                return Ok(());
            }
            place.write(path.relative(), &content.0, *mode, (*uid, *gid))
        }
        GuestFile::AddLineOnce {
            path,
            line,
            mode,
            uid,
            gid,
        } => {
            let mut text = place.read(path.relative())?;
            if !text
                .split(|byte| *byte == b'\n')
                .any(|known| known == line.as_bytes())
            {
                if text.last().is_some_and(|last| *last != b'\n') {
                    text.push(b'\n');
                }
                text.extend_from_slice(line.as_bytes());
                text.push(b'\n');
            }
            place.write(path.relative(), &text, *mode, (*uid, *gid))
        }
        GuestFile::Fstab {
            drop_mountpoints,
            add,
        } => {
            let text = place.read("etc/fstab")?;
            let edited = fstab::edit(&String::from_utf8_lossy(&text), drop_mountpoints, add);
            place.write("etc/fstab", edited.as_bytes(), 0o644, (0, 0))
        }
        GuestFile::Symlink { path, target } => place.symlink(path, target),
        GuestFile::Dir {
            path,
            mode,
            uid,
            gid,
        } => place.directory(path.relative(), *mode, (*uid, *gid)),
        GuestFile::Remove { path } => place.remove(path),
    }
}

/// A root, open.
#[derive(Debug)]
pub struct Place {
    root: OwnedFd,
}

impl Place {
    /// Opens a root.
    ///
    /// # Errors
    /// When it is no directory.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: rustix::fs::open(root, flags, Mode::empty())?,
        })
    }

    /// Makes or replaces a file; missing parents are made.
    ///
    /// # Errors
    /// When the kernel refuses, or the file does not hold the content afterwards.
    pub fn write(
        &self,
        path: &str,
        content: &[u8],
        mode: u32,
        owner: (u32, u32),
    ) -> io::Result<()> {
        let (dir, name) = self.last_dir(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOCTTY;
        // Written in place: whatever links and mounts lead here stay as they are.
        let mut file = File::from(self.open_in(&dir, &name, flags, 0o600)?);
        file.write_all(content)?;
        rustix::fs::fchown(
            &file,
            Some(Uid::from_raw(owner.0)),
            Some(Gid::from_raw(owner.1)),
        )?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
        let stat = rustix::fs::fstat(&file)?;
        if u64::try_from(stat.st_size).ok() != Some(content.len() as u64)
            || stat.st_mode & 0o7777 != mode & 0o7777
        {
            return Err(io::Error::other("size or mode is not what was set"));
        }
        Ok(())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => {
                File::from(file)
                    .take(MAX_EDITED + 1)
                    .read_to_end(&mut bytes)?;
                if bytes.len() as u64 > MAX_EDITED {
                    return Err(io::Error::other(format!(
                        "is longer than {MAX_EDITED} bytes"
                    )));
                }
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
            Err(error) => Err(error),
        }
    }

    /// Is anything there, be it a link that leads nowhere?
    fn exists(&self, path: &str) -> io::Result<bool> {
        match self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn symlink(&self, path: &GuestPath, target: &str) -> io::Result<()> {
        let (dir, name) = self.parent(path.relative())?;
        self.clear(&dir, &name)?;
        Ok(rustix::fs::symlinkat(target, &dir, &name)?)
    }

    fn remove(&self, path: &GuestPath) -> io::Result<()> {
        let Some(parent) = path.parent() else {
            return Err(io::Error::other("is the root"));
        };
        match self.resolve(parent.relative(), OFlags::PATH | OFlags::DIRECTORY) {
            Ok(dir) => self.clear(&dir, path.file_name().unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn clear(&self, dir: &OwnedFd, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn directory(&self, path: &str, mode: u32, owner: (u32, u32)) -> io::Result<()> {
        let dir = self.make_dirs(path)?;
        // Opened for its path only, so it is named through itself.
        let dir = self.open_in(&dir, ".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        rustix::fs::fchown(
            &dir,
            Some(Uid::from_raw(owner.0)),
            Some(Gid::from_raw(owner.1)),
        )?;
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode & 0o7777))?;
        let stat = rustix::fs::fstat(&dir)?;
        if stat.st_mode & 0o7777 != mode & 0o7777 || (stat.st_uid, stat.st_gid) != owner {
            return Err(io::Error::other("owner or mode is not what was set"));
        }
        Ok(())
    }

    /// Opens what a path leads to.
    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )?)
    }

    fn open_in(&self, dir: &OwnedFd, name: &str, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            dir,
            name,
            flags,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// The directory of a path, made when missing, and its last name.
    fn parent(&self, path: &str) -> io::Result<(OwnedFd, String)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
        if matches!(name, "" | "." | "..") {
            return Err(io::Error::other("names no file"));
        }
        Ok((self.make_dirs(dir)?, name.to_owned()))
    }

    /// As [`Self::parent`], for the end of the links that the last name may be: an absolute or relative one, inside
    /// the root, whose own end need not exist.
    fn last_dir(&self, path: &str) -> io::Result<(OwnedFd, String)> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let (dir, name) = self.parent(&path)?;
            let target = match rustix::fs::readlinkat(&dir, &name, Vec::new()) {
                Ok(target) => target.into_string().map_err(io::Error::other)?,
                // No link, or nothing.
                Err(Errno::INVAL | Errno::NOENT) => return Ok((dir, name)),
                Err(error) => return Err(error.into()),
            };
            path = match (target.strip_prefix('/'), path.rsplit_once('/')) {
                (Some(absolute), _) => absolute.to_owned(),
                (None, Some((folder, _))) => format!("{folder}/{target}"),
                (None, None) => target,
            };
        }
        Err(Errno::LOOP.into())
    }

    fn make_dirs(&self, path: &str) -> io::Result<OwnedFd> {
        let mut made = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let above = if made.is_empty() { "." } else { &made };
            let dir = self.resolve(above, OFlags::PATH | OFlags::DIRECTORY)?;
            match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            if !made.is_empty() {
                made.push('/');
            }
            made.push_str(name);
        }
        self.resolve(
            if made.is_empty() { "." } else { &made },
            OFlags::PATH | OFlags::DIRECTORY,
        )
    }
}

#[cfg(test)]
mod tests;
