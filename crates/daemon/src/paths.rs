//! Places of banger's files.
//!
//! ```text
//! BANGER_HOME set:  $BANGER_HOME/{config.toml, state/, cache/, run/}
//! else (XDG):       ~/.config/banger/config.toml   ~/.local/state/banger/   ~/.cache/banger/  
//! $XDG_RUNTIME_DIR/banger/
//! ```

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode, VmId};
use banger_ops::{Parents, Places, VmFiles};

use crate::private;

/// All places, absolute. Nothing is made by naming them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    run: PathBuf,
    places: Places,
    /// The variables from which the others come, and the folders that they name.
    named_by: Vec<(&'static str, PathBuf)>,
}

/// The folders that the environment asks for.
struct Found {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    run: PathBuf,
    named_by: Vec<(&'static str, PathBuf)>,
}

impl Paths {
    /// The places that the environment asks for.
    ///
    /// # Errors
    /// `invalid_argument` when `BANGER_HOME` or `HOME` is no absolute path, or no text.
    pub fn from_env() -> Result<Self, ApiError> {
        Self::from_vars(&|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// [`Paths::from_env`] over any source of variables.
    ///
    /// # Errors
    /// As there.
    pub fn from_vars(var: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, ApiError> {
        let absolute = |name: &str| match var(name).map(PathBuf::from) {
            Some(path) if !path.is_absolute() => Err(ApiError::new(
                ErrorCode::InvalidArgument,
                format!(
                    "{name} must be an absolute path, not \"{}\"",
                    path.display()
                ),
            )),
            path => Ok(path),
        };
        if let Some(home) = absolute("BANGER_HOME")? {
            return Self::of(Found {
                config: home.join("config.toml"),
                state: home.join("state"),
                cache: home.join("cache"),
                run: home.join("run"),
                named_by: vec![("BANGER_HOME", home)],
            });
        }
        let home = absolute("HOME")?.ok_or_else(|| {
            ApiError::new(
                ErrorCode::InvalidArgument,
                "neither BANGER_HOME nor HOME is set",
            )
        })?;
        // XDG Base Directory Specification: a relative path in these variables is to be ignored.
        let xdg = |name: &str, default: &str| {
            let dir = var(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute());
            dir.unwrap_or_else(|| home.join(default)).join("banger")
        };
        let mut named_by = vec![("HOME", home.clone())];
        let state = xdg("XDG_STATE_HOME", ".local/state");
        let run = var("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        named_by.extend(run.clone().map(|dir| ("XDG_RUNTIME_DIR", dir)));
        Self::of(Found {
            named_by,
            config: xdg("XDG_CONFIG_HOME", ".config").join("config.toml"),
            cache: xdg("XDG_CACHE_HOME", ".cache"),
            // Without a runtime directory (a plain `su`, a container) the state directory serves: it is private, too.
            run: run.map_or_else(|| state.join("run"), |dir| dir.join("banger")),
            state,
        })
    }

    /// The places below these folders. What is stored names them as text.
    fn of(found: Found) -> Result<Self, ApiError> {
        let Found {
            config,
            state,
            cache,
            run,
            named_by,
        } = found;
        let odd = named_by
            .iter()
            .find(|(_, folder)| folder.to_str().is_none());
        if let Some((variable, folder)) = odd {
            let message = format!("{variable} is no text (UTF-8): {}", folder.display());
            let error = ApiError::new(ErrorCode::InvalidArgument, message);
            return Err(error.hint("set BANGER_HOME to a folder whose name is text"));
        }
        let parents = Parents {
            vms: state.join("vms"),
            run_vms: run.join("vms"),
            images: state.join("images"),
            kernels: state.join("kernels"),
            layers: state.join("layers"),
            templates: state.join("templates"),
            staging: state.join("staging"),
        };
        let places = Places::new(parents)
            .map_err(|error| ApiError::new(ErrorCode::InvalidArgument, error.to_string()))?;
        Ok(Self {
            config,
            state,
            cache,
            run,
            places,
            named_by,
        })
    }

    /// Refuses an environment that was taken over from another user, as plain `su` and `sudo -E` leave it.
    ///
    /// # Errors
    /// `host_not_ready`: which variable names whose folder, and what to do.
    pub fn refuse_strangers(&self) -> Result<(), ApiError> {
        let own = private::own_uid();
        for (variable, folder) in &self.named_by {
            // What is absent, or cannot be looked at, says so itself when it is used.
            let Ok(owner) = std::fs::metadata(folder).map(|meta| meta.uid()) else {
                continue;
            };
            // Root's folder is nobody's home but root's: it may lead to ours, as `/` does.
            if owner == own || owner == 0 {
                continue;
            }
            let message = format!(
                "{variable} is {}, which belongs to {}; you are {}",
                folder.display(),
                private::owner(owner),
                private::owner(own)
            );
            let hint = match *variable {
                "XDG_RUNTIME_DIR" => {
                    "unset XDG_RUNTIME_DIR, or become this user with a login: su - USER, sudo -i"
                }
                "HOME" => "become this user with its own HOME: su - USER, sudo -H",
                _ => "set BANGER_HOME to a folder of your own, or unset it",
            };
            return Err(ApiError::new(ErrorCode::HostNotReady, message).hint(hint));
        }
        Ok(())
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }
    /// Directory of what survives everything.
    pub fn state(&self) -> &Path {
        &self.state
    }
    /// Directory of what can be made again.
    pub fn cache(&self) -> &Path {
        &self.cache
    }
    /// Fetched container images.
    pub fn oci_cache(&self) -> PathBuf {
        self.cache.join("oci")
    }
    /// Sockets: need not survive a reboot.
    pub fn run(&self) -> &Path {
        &self.run
    }
    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.run.join("daemon.sock")
    }
    /// Held by the one daemon that runs.
    pub fn lock(&self) -> PathBuf {
        self.state.join("daemon.lock")
    }
    /// Says where the daemon listens: [`crate::Announcement`].
    pub fn announcement(&self) -> PathBuf {
        self.state.join("daemon.json")
    }
    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }
    /// The store.
    pub fn store(&self) -> PathBuf {
        self.state.join("banger.db")
    }
    /// banger's own SSH key.
    pub fn ssh(&self) -> PathBuf {
        self.state.join("ssh")
    }

    /// Secrets of this user's.
    pub fn secrets(&self) -> PathBuf {
        self.state.join("secrets")
    }

    /// One SSH host for each VM.
    pub fn ssh_hosts(&self) -> PathBuf {
        self.ssh().join("hosts")
    }
    /// The directories in which every entry is banger's.
    pub fn places(&self) -> &Places {
        &self.places
    }
    /// One VM's files.
    pub fn vm(&self, id: VmId) -> VmFiles {
        self.places.vm(id)
    }
    /// Directories that a daemon makes when it starts, parents first.
    pub fn directories(&self) -> Vec<PathBuf> {
        let own = [&self.state, &self.cache, &self.run].map(Clone::clone);
        let mut all = Vec::from(own);
        all.extend(self.places.all().map(Path::to_path_buf));
        all.push(self.ssh());
        all.push(self.secrets());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(vars: &[(&str, &str)]) -> Result<Paths, ApiError> {
        let vars: Vec<(String, OsString)> = vars
            .iter()
            .map(|(k, v)| ((*k).to_owned(), OsString::from(v)))
            .collect();
        Paths::from_vars(&|name| vars.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    }

    #[test]
    fn banger_home_puts_everything_under_one_directory() {
        let paths = paths(&[
            ("BANGER_HOME", "/b"),
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/r"),
        ])
        .unwrap();
        assert_eq!(paths.socket(), Path::new("/b/run/daemon.sock"));
        assert!(paths.directories().iter().all(|dir| dir.starts_with("/b")));
    }

    #[test]
    fn xdg_places_are_used_without_it() {
        let paths = paths(&[
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("XDG_CACHE_HOME", "rel"),
        ])
        .unwrap();
        assert_eq!(paths.socket(), Path::new("/r/banger/daemon.sock"));
        assert_eq!(paths.store(), Path::new("/h/.local/state/banger/banger.db"));
        assert_eq!(paths.cache(), Path::new("/h/.cache/banger"));
        assert_eq!(paths.config(), Path::new("/h/.config/banger/config.toml"));
    }

    #[test]
    fn another_user_s_folder_is_named_with_its_variable() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(61_417), None).unwrap();
        let theirs = folder.path().to_str().unwrap();
        for (variable, other) in [
            ("XDG_RUNTIME_DIR", "HOME"),
            ("HOME", "XDG_RUNTIME_DIR"),
            ("BANGER_HOME", "HOME"),
        ] {
            let found = paths(&[(variable, theirs), (other, "/")]).unwrap();
            let error = found.refuse_strangers().unwrap_err();
            assert!(error.message.starts_with(variable), "{error}");
            assert!(error.message.contains("user 61417"), "{error}");
            assert!(error.hint.is_some());
        }
        paths(&[("HOME", "/")]).unwrap().refuse_strangers().unwrap();
    }

    #[test]
    fn a_home_that_is_no_text_is_refused_by_name() {
        use std::os::unix::ffi::OsStringExt as _;
        for variable in ["BANGER_HOME", "HOME"] {
            let odd = || OsString::from_vec(b"/b/\xff".to_vec());
            let error = Paths::from_vars(&|name| (name == variable).then(odd)).unwrap_err();
            assert!(error.message.starts_with(variable), "{error}");
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn a_relative_home_is_refused_by_name() {
        let error = paths(&[("BANGER_HOME", "b")]).unwrap_err();
        assert!(error.message.contains("BANGER_HOME"));
    }
}
