//! `doctor --fix`: what can be put right without root and without loss, in banger's own folders.

use std::fs;

use super::places::is_stale;
use crate::host::file_error;
use crate::paths::Paths;
use crate::private::{self, Found};

use banger_api::ApiError;

/// One thing that was put right, or the cause why it was not.
pub type Mended = Result<String, ApiError>;

/// Makes banger's folders private, and takes away what a daemon that is gone has left at its socket.
pub fn mend(paths: &Paths) -> Vec<Mended> {
    let mut all = Vec::new();
    for folder in paths.directories() {
        let mended = match private::look(&folder) {
            // The daemon makes what is absent.
            Ok(Found::Absent | Found::Private) => continue,
            Ok(Found::Open(mode)) => private::directory(&folder).map(|()| {
                format!(
                    "{} was open to others (mode {mode:o}): 700 now",
                    folder.display()
                )
            }),
            Err(error) => Err(error),
        };
        all.push(mended);
    }
    if is_stale(paths) {
        for path in [paths.socket(), paths.announcement()] {
            match fs::remove_file(&path) {
                Ok(()) => all.push(Ok(format!(
                    "removed {}: its daemon is gone",
                    path.display()
                ))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => all.push(Err(file_error("remove", &path, &error))),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn folders_become_private_and_a_stale_socket_goes_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_owned();
        let paths = Paths::from_vars(&|name| (name == "BANGER_HOME").then(|| path.clone().into()));
        let paths = paths.unwrap();
        for folder in [paths.state(), paths.run()] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        drop(std::os::unix::net::UnixListener::bind(paths.socket()).unwrap());
        let told: Vec<_> = mend(&paths).into_iter().map(Result::unwrap).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|line| line.contains("daemon.sock")));
        let mode = fs::metadata(paths.state()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(!paths.socket().exists() && !paths.cache().exists());
        assert_eq!(mend(&paths).len(), 0);
    }

    #[test]
    fn what_cannot_be_mended_is_said_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_owned();
        let paths = Paths::from_vars(&|name| (name == "BANGER_HOME").then(|| path.clone().into()));
        let paths = paths.unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), paths.cache()).unwrap();
        let all = mend(&paths);
        let error = all.into_iter().next().unwrap().unwrap_err();
        assert!(error.message.contains("is a link"), "{error}");
        assert!(paths.cache().is_symlink());
    }
}
