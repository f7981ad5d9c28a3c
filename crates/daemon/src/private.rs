//! Folders and files of ours are this user's alone, and nobody else can put others in their place.
//!
//! The rule is that of sshd's StrictModes: a folder that leads to ours belongs to this user or to root, and nobody else
//! may write to it, unless its sticky bit keeps what is in it from being renamed (`/tmp`).

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Component, Path, PathBuf};

use banger_api::{ApiError, ErrorCode};
use rustix::fs::OFlags;

use crate::host::file_error;

/// Links on the way to a folder of ours; the kernel follows as many (path_resolution(7)).
const MAX_LINKS: u32 = 40;
const STICKY: u32 = 0o1000;

/// Makes a folder with its parents, 0700, or makes the one that is there 0700.
///
/// # Errors
/// It is a link or no folder, it is another user's, or one that leads to it lets others put another in its place.
pub(crate) fn directory(path: &Path) -> Result<(), ApiError> {
    way(path.parent().unwrap_or(Path::new("/")), &mut 0)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| file_error("make directory", path, &error))?;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path);
    let folder = match opened {
        Err(error) if is_link(path) => return Err(link(path, &error)),
        other => other.map_err(|error| file_error("open directory", path, &error))?,
    };
    make_private(&folder, 0o700, path)
}

/// A folder of ours as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is absent; what leads there is safe.
    Absent,
    /// It is this user's alone.
    Private,
    /// It is this user's, and its mode lets others in.
    Open(u32),
}

/// Looks at a folder as [`directory`] does, and changes nothing.
///
/// # Errors
/// As there.
pub(crate) fn look(path: &Path) -> Result<Found, ApiError> {
    way(path.parent().unwrap_or(Path::new("/")), &mut 0)?;
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        other => other.map_err(|error| file_error("look at", path, &error))?,
    };
    if meta.is_symlink() {
        return Err(link(path, &rustix::io::Errno::LOOP.into()));
    }
    if !meta.is_dir() {
        return Err(refused(format!("{} is no folder", path.display())));
    }
    if meta.uid() != own_uid() {
        return Err(refused(format!(
            "{} belongs to {}",
            path.display(),
            owner(meta.uid())
        )));
    }
    let mode = meta.mode() & 0o7777;
    Ok(match mode & !0o700 {
        0 => Found::Private,
        _ => Found::Open(mode),
    })
}

/// Makes a file, 0600, or makes the one that is there 0600. `create` decides about one that is absent.
///
/// # Errors
/// It is a link, another user's, or cannot be opened.
pub(crate) fn file(path: &Path, create: bool) -> Result<(), ApiError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(create)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path);
    let file = match opened {
        Err(error) if !create && error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if is_link(path) => return Err(link(path, &error)),
        other => other.map_err(|error| file_error("open", path, &error))?,
    };
    make_private(&file, 0o600, path)
}

/// Refuses what is another user's, and takes away what others may do.
fn make_private(opened: &File, mode: u32, path: &Path) -> Result<(), ApiError> {
    let meta = opened
        .metadata()
        .map_err(|error| file_error("look at", path, &error))?;
    if meta.uid() != own_uid() {
        return Err(refused(format!(
            "{} belongs to {}",
            path.display(),
            owner(meta.uid())
        )));
    }
    narrow(opened, &meta, mode, path)
}

/// Takes away what others may do.
fn narrow(file: &File, meta: &Metadata, mode: u32, path: &Path) -> Result<(), ApiError> {
    let found = meta.mode() & 0o7777;
    if found & !mode == 0 {
        return Ok(());
    }
    tracing::warn!(
        path = %path.display(),
        "others could use this (mode {found:o}): it is {mode:o} now"
    );
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(|error| file_error("make private", path, &error))
}

/// Checks every folder that leads to `path`, and those to which links on the way lead. What is absent yet is made by us.
fn way(path: &Path, links: &mut u32) -> Result<(), ApiError> {
    let mut at = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            at.pop();
            continue;
        }
        at.push(component);
        let meta = match fs::symlink_metadata(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| file_error("look at", &at, &error))?,
        };
        trusted_owner(&at, &meta)?;
        if meta.is_symlink() {
            *links += 1;
            if *links > MAX_LINKS {
                return Err(refused(format!(
                    "{} leads through more than {MAX_LINKS} links",
                    path.display()
                )));
            }
            let target =
                fs::read_link(&at).map_err(|error| file_error("read link", &at, &error))?;
            let target = at.parent().unwrap_or(Path::new("/")).join(target);
            way(&target, links)?;
            at = fs::canonicalize(&at).map_err(|error| file_error("look at", &at, &error))?;
        } else if meta.is_dir() {
            closed_to_others(&at, &meta)?;
        }
    }
    Ok(())
}

fn trusted_owner(path: &Path, meta: &Metadata) -> Result<(), ApiError> {
    let uid = meta.uid();
    if uid == 0 || uid == own_uid() || is_unmapped(uid) {
        return Ok(());
    }
    Err(refused(format!(
        "{} belongs to {}, who could put something else in the place of banger's files",
        path.display(),
        owner(uid)
    )))
}

fn closed_to_others(path: &Path, meta: &Metadata) -> Result<(), ApiError> {
    let mode = meta.mode();
    // A group of one's own, as Debian and Fedora give to each user, is nobody else; neither is root's.
    let own_group = [0, rustix::process::getegid().as_raw()].contains(&meta.gid());
    let open = mode & 0o002 != 0 || (mode & 0o020 != 0 && !own_group);
    if !open || mode & STICKY != 0 {
        return Ok(());
    }
    Err(refused(format!(
        "others may write to {} (mode {:o}), and so put something else in the place of banger's files",
        path.display(),
        mode & 0o7777
    ))
    .hint(format!("chmod go-w {}", path.display())))
}

/// The user to whom a user namespace gives all files whose owners it does not know; only one that is not the host's own
/// has such (user_namespaces(7)).
fn is_unmapped(uid: u32) -> bool {
    let number = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let whole = number("/proc/self/uid_map")
        .split_ascii_whitespace()
        .eq(["0", "0", "4294967295"]);
    !whole && number("/proc/sys/kernel/overflowuid").trim() == uid.to_string()
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}

fn link(path: &Path, _error: &io::Error) -> ApiError {
    let target = fs::read_link(path).unwrap_or_default();
    refused(format!(
        "{} is a link (to {}), and banger does not follow links there",
        path.display(),
        target.display()
    ))
    .hint(format!(
        "move what is there to {}, or set BANGER_HOME to the folder itself",
        path.display()
    ))
}

fn refused(message: String) -> ApiError {
    ApiError::new(ErrorCode::HostNotReady, message)
        .hint("set BANGER_HOME to a folder of your own, as $HOME/.banger")
}

pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// `user 1000`, with the name that /etc/passwd has for it.
pub(crate) fn owner(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    match name {
        Some(name) => format!("user {uid} ({name})"),
        None => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_folder_that_is_there_becomes_private() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("a/run");
        directory(&run).unwrap();
        assert_eq!(mode(&run), 0o700);
        assert_eq!(mode(run.parent().unwrap()), 0o700);
        for lax in [0o777, 0o750, 0o701, 0o1777] {
            set(&run, lax);
            directory(&run).unwrap();
            assert_eq!(mode(&run), 0o700, "from {lax:o}");
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_or_file_is_refused_and_what_it_points_to_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (target, place) = (root.path().join("t"), root.path().join("state"));
        fs::create_dir(&target).unwrap();
        set(&target, 0o755);
        symlink(&target, &place).unwrap();
        let error = directory(&place).unwrap_err();
        assert!(error.message.contains("is a link"), "{error}");
        assert_eq!(mode(&target), 0o755);
        let (target, place) = (root.path().join("f"), root.path().join("db"));
        fs::write(&target, "").unwrap();
        symlink(&target, &place).unwrap();
        for create in [true, false] {
            let error = file(&place, create).unwrap_err();
            assert!(error.message.contains("is a link"), "{error}");
        }
    }

    #[test]
    fn a_parent_that_others_may_write_to_is_refused_unless_it_is_sticky() {
        let root = tempfile::tempdir().unwrap();
        let parent = root.path().join("p");
        fs::create_dir(&parent).unwrap();
        set(&parent, 0o777);
        let error = directory(&parent.join("state")).unwrap_err();
        assert!(error.message.contains("others may write to"), "{error}");
        assert!(!parent.join("state").exists());
        // Also when a link leads there.
        let link = root.path().join("l");
        symlink(&parent, &link).unwrap();
        directory(&link.join("state")).unwrap_err();
        set(&parent, 0o1777);
        directory(&parent.join("state")).unwrap();
        directory(&link.join("state")).unwrap();
    }

    #[test]
    fn a_stranger_s_parent_or_folder_is_refused_by_name() {
        if !is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let theirs = root.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(61_417), None).unwrap();
        for path in [theirs.clone(), theirs.join("state")] {
            let error = directory(&path).unwrap_err();
            assert!(error.message.contains("belongs to user 61417"), "{error}");
        }
    }

    #[test]
    fn a_file_becomes_private_and_an_absent_one_is_made_only_when_wanted() {
        let root = tempfile::tempdir().unwrap();
        let db = root.path().join("db");
        file(&db, false).unwrap();
        assert!(!db.exists());
        file(&db, true).unwrap();
        assert_eq!(mode(&db), 0o600);
        set(&db, 0o644);
        file(&db, false).unwrap();
        assert_eq!(mode(&db), 0o600);
    }
}
