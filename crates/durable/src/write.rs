//! Writing that lasts.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// Readable by everyone, writable by none: the mode of content that others rely on (less the bits of the umask).
pub const SHARED_FILE: u32 = 0o444;

/// Writes a new file of mode [`SHARED_FILE`] and syncs it. Its name lasts after [`sync_folder`].
///
/// # Errors
/// It exists, or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(SHARED_FILE)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Syncs a folder, so that the names in it last.
///
/// # Errors
/// The system's answer.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a file of mode [`SHARED_FILE`] that appears whole or not at all, and lasts. An existing file of that name is
/// kept: callers name files by their content, so it has the same content.
///
/// It has no name before it is complete (`O_TMPFILE`, open(2)); a file system without unnamed files gets a named one
/// (`NAME.partial-PID`) and a rename.
///
/// # Errors
/// The system's answer.
pub fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::from_raw_mode(SHARED_FILE)) {
        Ok(descriptor) => publish_unnamed(File::from(descriptor), path, bytes)?,
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => publish_by_rename(path, bytes)?,
        Err(error) => return Err(error.into()),
    }
    sync_folder(folder)
}

fn publish_unnamed(mut file: File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn publish_by_rename(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = OsString::from(path.as_os_str());
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    // A leftover of a process with the same id that was killed.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new(&partial, bytes)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_new(&path, b"first").unwrap();
        assert_eq!(
            write_new(&path, b"second").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        publish(&path, b"third").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn both_ways_to_publish_leave_one_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, publish) in [
            ("a", publish as fn(&Path, &[u8]) -> io::Result<()>),
            ("b", publish_by_rename),
        ] {
            let path = folder.path().join(name);
            publish(&path, b"content").unwrap();
            publish(&path, b"content").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"content");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(publish(Path::new("/nonexistent/x"), b"").is_err());
        assert!(sync_folder(Path::new("/nonexistent")).is_err());
    }
}
