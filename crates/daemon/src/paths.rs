//! Where banger keeps things.
//!
//! ```text
//! BANGER_HOME set:  $BANGER_HOME/{config.toml, state/, cache/, run/}
//! else (XDG):       ~/.config/banger/config.toml   ~/.local/state/banger/   ~/.cache/banger/   $XDG_RUNTIME_DIR/banger/
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use banger_api::{ApiError, ErrorCode, VmId};
use banger_ops::VmFiles;

/// All places, absolute. Nothing is made by naming them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    run: PathBuf,
}

impl Paths {
    /// The places that the environment asks for.
    ///
    /// # Errors
    /// `invalid_argument` when `BANGER_HOME` or `HOME` is no absolute path.
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
            return Ok(Self {
                config: home.join("config.toml"),
                state: home.join("state"),
                cache: home.join("cache"),
                run: home.join("run"),
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
        let state = xdg("XDG_STATE_HOME", ".local/state");
        let run = var("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        Ok(Self {
            config: xdg("XDG_CONFIG_HOME", ".config").join("config.toml"),
            cache: xdg("XDG_CACHE_HOME", ".cache"),
            // Without a runtime directory (a plain `su`, a container) the state directory serves: it is private, too.
            run: run.map_or_else(|| state.join("run"), |dir| dir.join("banger")),
            state,
        })
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }
    /// What survives everything.
    pub fn state(&self) -> &Path {
        &self.state
    }
    /// What can be made again.
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
    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }
    /// The store.
    pub fn store(&self) -> PathBuf {
        self.state.join("banger.db")
    }
    /// Directories of VMs.
    pub fn vms(&self) -> PathBuf {
        self.state.join("vms")
    }
    /// Run directories of VMs.
    pub fn run_vms(&self) -> PathBuf {
        self.run.join("vms")
    }
    /// Directories of images, by digest.
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }
    /// Directories of kernels, by digest.
    pub fn kernels(&self) -> PathBuf {
        self.state.join("kernels")
    }
    /// Where images and kernels are made before they get their place. On one file system with them.
    pub fn staging(&self) -> PathBuf {
        self.state.join("staging")
    }
    /// banger's own SSH key.
    pub fn ssh(&self) -> PathBuf {
        self.state.join("ssh")
    }
    /// One VM's files.
    pub fn vm(&self, id: VmId) -> VmFiles {
        let id = id.to_string();
        VmFiles {
            state: self.vms().join(&id),
            run: self.run_vms().join(id),
        }
    }
    /// Directories that a daemon makes when it starts, parents first.
    pub fn directories(&self) -> Vec<PathBuf> {
        vec![
            self.state.clone(),
            self.cache.clone(),
            self.run.clone(),
            self.vms(),
            self.run_vms(),
            self.images(),
            self.kernels(),
            self.staging(),
            self.ssh(),
        ]
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
    fn a_relative_home_is_refused_by_name() {
        let error = paths(&[("BANGER_HOME", "b")]).unwrap_err();
        assert!(error.message.contains("BANGER_HOME"));
    }
}
