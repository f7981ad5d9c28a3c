//! Copies what an image carries in a directory into the file system that is mounted there: `mkdir /run/sshd` in a
//! Dockerfile is there when the guest runs, as it is in a container.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

/// Entries that are copied at most.
const MAX_ENTRIES: usize = 10_000;
/// Bytes that are copied at most: they take the guest's memory.
const MAX_BYTES: u64 = 64 << 20;
/// Directories inside directories.
const MAX_DEPTH: usize = 64;

/// The result of a copy.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries.
    pub entries: usize,
    /// Bytes of files.
    pub bytes: u64,
    /// Not everything was: there is more than a guest's memory should hold.
    pub cut: bool,
}

/// Copies what is in one directory into another: directories, files, links and pipes, with modes and owners. Sockets and
/// devices are nobody's without the process that made them, and what is there already stays.
///
/// # Errors
/// Something cannot be read or made.
pub fn copy_up(from: &impl AsFd, to: &impl AsFd) -> io::Result<Copied> {
    let mut copied = Copied::default();
    // A directory that is open for its path only cannot be read.
    let from = open(from, c".", OFlags::DIRECTORY)?;
    directory(&from, to, MAX_DEPTH, &mut copied)?;
    Ok(copied)
}

fn directory(
    from: &impl AsFd,
    to: &impl AsFd,
    depth: usize,
    copied: &mut Copied,
) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if copied.entries == MAX_ENTRIES || depth == 0 {
            copied.cut = true;
            return Ok(());
        }
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let made = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                match rustix::fs::mkdirat(to, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                let (inner, outer) = (
                    open(from, name, OFlags::DIRECTORY)?,
                    open(to, name, OFlags::DIRECTORY)?,
                );
                directory(&inner, &outer, depth - 1, copied)?;
                Ok(())
            }
            FileType::RegularFile => {
                let length = u64::try_from(stat.st_size).unwrap_or(0);
                if copied.bytes + length > MAX_BYTES {
                    copied.cut = true;
                    continue;
                }
                file(from, to, name, length, copied)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target, to, name).map_err(io::Error::from)
            }
            FileType::Fifo => rustix::fs::mkfifoat(to, name, Mode::RWXU).map_err(io::Error::from),
            _ => continue,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        }
        copied.entries += 1;
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
    }
    Ok(())
}

fn file(
    from: &impl AsFd,
    to: &impl AsFd,
    name: &std::ffi::CStr,
    length: u64,
    copied: &mut Copied,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let new = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    let source = File::from(open(from, name, OFlags::empty())?);
    copied.bytes += io::copy(&mut source.take(length), &mut File::from(new))?;
    Ok(())
}

fn open(dir: &impl AsFd, name: &std::ffi::CStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_tree_arrives_with_modes_and_links_and_what_is_there_stays() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |path: &str| from.path().join(path);
        std::fs::create_dir_all(at("mysqld")).unwrap();
        std::fs::set_permissions(at("mysqld"), PermissionsExt::from_mode(0o2750)).unwrap();
        std::fs::write(at("mysqld/app.conf"), "x=1").unwrap();
        std::fs::write(at("kept"), "the image's").unwrap();
        symlink("mysqld/app.conf", at("link")).unwrap();
        std::fs::write(to.path().join("kept"), "ours").unwrap();
        let open = |path: &std::path::Path| {
            rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
        };
        let copied = copy_up(&open(from.path()), &open(to.path())).unwrap();
        assert_eq!((copied.entries, copied.bytes, copied.cut), (3, 3, false));
        let arrived = |path: &str| to.path().join(path);
        assert_eq!(std::fs::read_to_string(arrived("link")).unwrap(), "x=1");
        assert_eq!(std::fs::read_to_string(arrived("kept")).unwrap(), "ours");
        let mode = std::fs::metadata(arrived("mysqld"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o2750);
    }

    #[test]
    fn no_image_fills_the_memory_of_its_guest() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        File::create(from.path().join("huge"))
            .unwrap()
            .set_len(MAX_BYTES + 1)
            .unwrap();
        let open = |path: &std::path::Path| File::open(path).unwrap();
        let copied = copy_up(&open(from.path()), &open(to.path())).unwrap();
        assert!(copied.cut && copied.bytes == 0);
    }
}
