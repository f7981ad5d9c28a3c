//! The guest's files, changed as the host says. Every path is resolved inside the guest's root (`openat2(2)` with
//! `RESOLVE_IN_ROOT`): links of the image are followed as the image itself would, and never lead out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use banger_guest::{Failure, GuestFile, GuestPath};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::fstab;
use super::written::Written;
use crate::failure::failure;

/// Bytes of an existing file that is edited.
const MAX_EDITED: u64 = 4 * 1024 * 1024;
/// Links in the last name of a path that are followed.
const MAX_LINKS: usize = 8;

/// Applies one change.
///
/// # Errors
/// Names the file.
pub fn apply(root: &Path, written: &Written, file: &GuestFile) -> Result<(), Failure> {
    let path = path_of(file);
    let failed = |error: io::Error| failure(format!("file {path}"), check_of(file), error);
    let place = Place::open(root).map_err(failed)?;
    change(&place, written, file).map_err(failed)
}

fn path_of(file: &GuestFile) -> &str {
    match file {
        GuestFile::Write { path, .. }
        | GuestFile::WriteUnlessEdited { path, .. }
        | GuestFile::Guard { path, .. }
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
        GuestFile::Write { .. }
        | GuestFile::WriteUnlessEdited { .. }
        | GuestFile::WriteIfAbsent { .. } => "write",
        GuestFile::Guard { .. } => "take others' right to write",
        GuestFile::AddLineOnce { .. } => "add line",
        GuestFile::Fstab { .. } => "edit",
        GuestFile::Symlink { .. } => "make link",
        GuestFile::Dir { .. } => "make directory",
        GuestFile::Remove { .. } => "remove",
    }
}

fn change(place: &Place, written: &Written, file: &GuestFile) -> io::Result<()> {
    match file {
        GuestFile::WriteUnlessEdited {
            path,
            mode,
            content,
        } => write_unless_edited(place, written, path, *mode, &content.0),
        GuestFile::Guard { path } => place.guard(path.relative()),
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

/// Writes a file of ours, unless its user has changed it since we last did: then it is the user's. At the first start
/// whatever the image has there makes way, a link included, for it often leads to what only a resolver would write.
fn write_unless_edited(
    place: &Place,
    written: &Written,
    path: &GuestPath,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    match written.recall(path)? {
        None => place.remove(path)?,
        Some(ours) if place.holds(path.relative(), &ours)? => {}
        Some(_) => return Ok(()),
    }
    if place.is_occupied_by_a_directory(path.relative())? {
        return Ok(());
    }
    // Remembered first: a crash between the two leaves a file that looks edited, which is better than one that was.
    written.remember(path, content)?;
    place.write(path.relative(), content, mode, (0, 0))
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

    /// True when there is a directory at a path, or at the end of its links.
    ///
    /// # Errors
    /// Any error of the kernel but "there is none".
    pub fn has_directory(&self, path: &str) -> io::Result<bool> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// True when a path leads to anything.
    #[must_use]
    pub fn leads_somewhere(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH).is_ok()
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

    pub(super) fn remove(&self, path: &GuestPath) -> io::Result<()> {
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
            // An empty directory is in the way and holds nothing; one that holds something is somebody's arrangement.
            Err(Errno::ISDIR) => match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOTEMPTY) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The file at this path, itself and not the end of a link, has this content.
    fn holds(&self, path: &str, content: &[u8]) -> io::Result<bool> {
        let (dir, name) = self.parent(path)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match self.open_in(&dir, &name, flags, 0) {
            Ok(file) => File::from(file),
            // Whoever removed it, or put a link or a folder there, has changed it.
            Err(_) => return Ok(false),
        };
        let mut now = Vec::new();
        let limit = content.len() as u64 + 1;
        file.take(limit).read_to_end(&mut now)?;
        Ok(now == content)
    }

    fn is_occupied_by_a_directory(&self, path: &str) -> io::Result<bool> {
        match self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) => {
                let stat = rustix::fs::fstat(&found)?;
                Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory root's own and takes from others the right to write into it; other bits stay.
    fn guard(&self, path: &str) -> io::Result<()> {
        let dir = self.make_dirs(path)?;
        let dir = self.open_in(&dir, ".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        rustix::fs::fchown(&dir, Some(Uid::ROOT), Some(Gid::ROOT))?;
        let mode = rustix::fs::fstat(&dir)?.st_mode & 0o7777 & !0o022;
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))?;
        Ok(())
    }

    /// Makes a directory with its parents, or sets mode and owner of the one that is there.
    ///
    /// # Errors
    /// The kernel refuses, or mode and owner are not those afterwards.
    pub fn directory(&self, path: &str, mode: u32, owner: (u32, u32)) -> io::Result<()> {
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
    pub(super) fn last_dir(&self, path: &str) -> io::Result<(OwnedFd, String)> {
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

    /// The directory at a path, open for its path. What is missing is made, 0755 and root's, also the ends of links on the
    /// way: `/root -> var/roothome` is a directory of an image that leaves making it to its first start.
    ///
    /// # Errors
    /// Something on the way is no directory, or there are too many links.
    pub fn make_dirs(&self, path: &str) -> io::Result<OwnedFd> {
        let mut ahead: Vec<String> = names_of(path).rev().collect();
        let mut way = String::from(".");
        let mut here = self.resolve(&way, OFlags::PATH | OFlags::DIRECTORY)?;
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            let next = format!("{way}/{name}");
            match self.resolve(&next, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(dir) => {
                    (here, way) = (dir, next);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            match rustix::fs::readlinkat(&here, &name, Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = target.into_string().map_err(io::Error::other)?;
                    ahead.extend(names_of(&target).rev());
                    if target.starts_with('/') {
                        way = String::from(".");
                        here = self.resolve(&way, OFlags::PATH | OFlags::DIRECTORY)?;
                    }
                }
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&here, &name, Mode::from_raw_mode(0o755))?;
                    ahead.push(name);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(here)
    }
}

/// The names of a path, in order; `..` stays for the kernel, which does not go above the root.
fn names_of(path: &str) -> impl DoubleEndedIterator<Item = String> {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    names.map(str::to_owned)
}

#[cfg(test)]
mod tests;
