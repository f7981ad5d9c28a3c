//! Target of a stream: decided from the caller's options and the file system, before the first entry is read.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::FilesError;

/// Target of a stream, with the rules of `cp -r`; see [`crate::schema::PutFiles`].
#[derive(Debug, Clone)]
pub struct Target {
    /// Path of the target. Trusted: links in it are followed.
    pub dest: PathBuf,
    /// True if `dest` is a directory (it was written with a trailing `/`): an existing one, or the new top entry.
    pub must_be_dir: bool,
    /// True to place the contents of the top entry.
    pub contents: bool,
    /// True to make missing parents of `dest`.
    pub parents: bool,
    /// Name of the top entry when it goes into an existing directory; `None` takes the name from the stream, so only
    /// for streams of a trusted sender.
    pub name: Option<OsString>,
    /// Owner of all new files; `None` leaves it to the system.
    pub owner: Option<(u32, u32)>,
}

/// The directory under which everything is made, and the role of the stream's top entry in it: a named child, or the
/// directory itself.
pub(super) struct Placed {
    pub(super) root: OwnedFd,
    pub(super) shown: PathBuf,
    pub(super) top: TopName,
    /// The destination is not there yet, or was made just now for what is inside a directory.
    pub(super) new: bool,
}

pub(super) enum TopName {
    /// A child with this name.
    Fixed(OsString),
    /// A child with its own name.
    Own,
    /// The directory itself.
    Itself,
}

impl Placed {
    /// Removes a directory that was made for the contents of another one, if it is still empty.
    pub(super) fn take_back(&self) {
        if self.new && matches!(self.top, TopName::Itself) {
            // A directory that is not empty stays: its files are the result of the copy so far.
            let _ = std::fs::remove_dir(&self.shown);
        }
    }
}

/// Decides the target of a stream.
pub(super) fn place(target: &Target) -> Result<Placed, FilesError> {
    let dest = &target.dest;
    let refuse = |why| {
        Err(FilesError::Target {
            path: dest.clone(),
            why,
        })
    };
    let exists = match std::fs::metadata(dest) {
        Ok(metadata) => Some(metadata.is_dir()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed("open", dest, source)),
    };
    if target.contents {
        if exists == Some(false) {
            return refuse("is not a directory");
        }
        if exists.is_none() {
            let make = if target.parents {
                std::fs::create_dir_all(dest)
            } else {
                std::fs::create_dir(dest)
            };
            make.map_err(|source| failed("create", dest, source))?;
            own(CWD, dest.as_os_str(), target.owner)
                .map_err(|error| failed("set owner of", dest, error.into()))?;
        }
        return Ok(Placed {
            root: open_root(dest)?,
            shown: dest.clone(),
            top: TopName::Itself,
            new: exists.is_none(),
        });
    }
    if exists == Some(true) {
        let top = target.name.clone().map_or(TopName::Own, TopName::Fixed);
        return Ok(Placed {
            root: open_root(dest)?,
            shown: dest.clone(),
            top,
            new: false,
        });
    }
    if target.must_be_dir && exists.is_some() {
        return refuse("is not an existing directory");
    }
    // An existing file behind links is replaced in its place, as `cp` does.
    let real = if exists.is_some() {
        dest.canonicalize()
            .map_err(|source| failed("open", dest, source))?
    } else {
        dest.clone()
    };
    let Some(name) = real.file_name() else {
        return refuse("names no file");
    };
    let parent = match real.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if target.parents {
        std::fs::create_dir_all(parent).map_err(|source| failed("create", parent, source))?;
    }
    Ok(Placed {
        root: open_root(parent)?,
        shown: parent.to_path_buf(),
        top: TopName::Fixed(name.to_owned()),
        new: exists.is_none(),
    })
}

fn open_root(path: &Path) -> Result<OwnedFd, FilesError> {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| failed("open", path, error.into()))
}

/// Sets the owner, if one is requested; of a link, not of its target.
pub(super) fn own(dir: impl AsFd, name: &OsStr, owner: Option<(u32, u32)>) -> Result<(), Errno> {
    let Some((uid, gid)) = owner else {
        return Ok(());
    };
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(uid),
        rustix::fs::Gid::from_raw(gid),
    );
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> FilesError {
    FilesError::Io {
        doing,
        path: path.to_path_buf(),
        source,
    }
}
