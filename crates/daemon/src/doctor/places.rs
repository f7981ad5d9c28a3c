//! The folders: this user's alone, writable, with room; and the socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use banger_api::ByteSize;
use banger_api::doctor::Check;
use rustix::fs::{Access, Mode, OFlags, access, ioctl_ficlone, open, statvfs};
use rustix::io::Errno;

use crate::holder::Holder;
use crate::paths::Paths;
use crate::private::{self, Found};

/// Free space below which a new VM is likely to fail, in bytes.
const SPACE_LOW: u64 = 2 << 30;
/// Deadline of a connection to a socket of this host.
const CONNECT: Duration = Duration::from_secs(2);

pub(super) fn checks(paths: &Paths) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Err(error) = paths.refuse_strangers() {
        let fix = error.hint.unwrap_or_default();
        checks.push(Check::fail("environment", error.message, fix));
    }
    for (name, folder) in [
        ("state", paths.state()),
        ("cache", paths.cache()),
        ("runtime", paths.run()),
    ] {
        checks.push(folder_check(name, folder));
    }
    checks.push(space(paths.state()));
    checks.push(clones(paths.state()));
    checks.push(socket(paths));
    checks
}

fn folder_check(name: &str, path: &Path) -> Check {
    let shown = path.display();
    let other = "give it to this user, or set BANGER_HOME to another folder";
    match private::look(path) {
        Err(error) => {
            let fix = error.hint.unwrap_or_else(|| other.to_owned());
            Check::fail(name, error.message, fix)
        }
        Ok(Found::Absent) => {
            let above = existing(path);
            match access(above, Access::WRITE_OK | Access::EXEC_OK) {
                Ok(()) => Check::ok(name, format!("{shown} is made by the first command")),
                Err(error) => {
                    let cause = format!("{shown} cannot be made: {}: {error}", above.display());
                    Check::fail(name, cause, other)
                }
            }
        }
        Ok(found) => match writable(path) {
            Err(error) => Check::fail(name, format!("{shown} cannot be written: {error}"), other),
            Ok(()) => match found {
                Found::Open(mode) => Check::warn(
                    name,
                    format!("{shown} is open to other users (mode {mode:o})"),
                    format!("chmod 700 {shown}"),
                ),
                _ => Check::ok(name, format!("{shown} is private and can be written")),
            },
        },
    }
}

/// The folder itself, or the nearest above it that is there.
fn existing(path: &Path) -> &Path {
    let mut folders = path.ancestors();
    let found = folders.find(|folder| folder.symlink_metadata().is_ok());
    found.unwrap_or(Path::new("/"))
}

/// Makes a file without a name: nothing to remove afterwards, whatever happens.
fn unnamed(folder: &Path) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    open(folder, flags, Mode::RUSR)
}

fn writable(folder: &Path) -> io::Result<()> {
    match unnamed(folder) {
        Ok(_file) => Ok(()),
        // A file system without such files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn space(folder: &Path) -> Check {
    let folder = existing(folder);
    let fs = match statvfs(folder) {
        Ok(fs) => fs,
        Err(error) => {
            let cause = format!(
                "cannot tell how much is free at {}: {error}",
                folder.display()
            );
            return Check::warn("space", cause, "look with df");
        }
    };
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    let cause = format!("{} free at {}", ByteSize(free), folder.display());
    match free >= SPACE_LOW {
        true => Check::ok("space", cause),
        false => Check::warn(
            "space",
            cause,
            "remove what is not needed: banger vm prune, banger image list",
        ),
    }
}

/// Tells if disks are cloned by reference or by extents: both work.
fn clones(folder: &Path) -> Check {
    let folder = existing(folder);
    let by_reference = unnamed(folder)
        .and_then(|from| unnamed(folder).and_then(|to| ioctl_ficlone(&to, &from)))
        .is_ok();
    let cause = match by_reference {
        true => "disks are cloned by reference (FICLONE)",
        false => "disks are cloned by extents: this file system has no FICLONE",
    };
    Check::ok("clones", cause)
}

fn socket(paths: &Paths) -> Check {
    let path = paths.socket();
    let shown = path.display();
    let name = "socket";
    if path.symlink_metadata().is_err() {
        let cause = format!("{shown} is free; sockets work below paths of any length");
        return Check::ok(name, cause);
    }
    match banger_socket::connect(&path, CONNECT) {
        Ok(_stream) => Check::ok(name, format!("somebody listens at {shown}")),
        Err(error) => match is_stale(paths) {
            true => Check::warn(
                name,
                format!("{shown} is left from a daemon that is gone"),
                "nothing needs to be done: the next daemon replaces it",
            ),
            false => Check::warn(
                name,
                format!("nobody takes calls at {shown}: {error}"),
                "a daemon is starting or ending: banger daemon status shows it",
            ),
        },
    }
}

/// The socket of this environment is there, nobody listens at it, and no daemon holds the state folder.
pub(super) fn is_stale(paths: &Paths) -> bool {
    let socket = paths.socket();
    let refused = banger_socket::connect(&socket, CONNECT)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    refused && matches!(Holder::find(paths), Ok(None))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use banger_api::doctor::Status;

    use super::*;

    fn paths(home: &Path) -> Paths {
        Paths::from_vars(&|name| (name == "BANGER_HOME").then(|| home.into())).unwrap()
    }

    fn status(paths: &Paths, name: &str) -> (Status, String) {
        let all = checks(paths);
        let check = all.iter().find(|check| check.name == name).unwrap();
        (check.status, check.cause.clone())
    }

    #[test]
    fn folders_that_are_absent_are_fine_and_stay_absent() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(&home.path().join("deep/down"));
        for name in ["state", "cache", "runtime", "space", "socket"] {
            assert_eq!(status(&paths, name).0, Status::Ok, "{name}");
        }
        assert!(!home.path().join("deep").exists());
    }

    #[test]
    fn a_folder_that_others_may_use_or_that_is_a_link_is_named() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        std::fs::create_dir(paths.state()).unwrap();
        std::fs::set_permissions(paths.state(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/tmp", paths.cache()).unwrap();
        std::fs::write(paths.run(), "").unwrap();
        let (found, cause) = status(&paths, "state");
        assert_eq!(found, Status::Warn);
        assert!(cause.contains("mode 755"), "{cause}");
        assert_eq!(status(&paths, "cache").0, Status::Fail);
        assert_eq!(status(&paths, "runtime").0, Status::Fail);
    }

    #[test]
    fn a_socket_at_which_nobody_listens_is_stale() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        std::fs::create_dir(paths.run()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(paths.socket()).unwrap();
        assert_eq!(status(&paths, "socket").0, Status::Ok);
        assert!(!is_stale(&paths));
        drop(listener);
        assert!(is_stale(&paths));
        assert_eq!(status(&paths, "socket").0, Status::Warn);
    }
}
