//! Directories in which this host removes and moves things: banger's own, and no others.

use std::path::{Component, Path};

use banger_api::{ApiError, ErrorCode};
use banger_engine::Engine;
use banger_ops::{HostResult, Places};

use super::Networks;
use crate::failure::of_engine;
use crate::paths::Paths;

/// Directories in which every entry is banger's.
pub(crate) struct Roots {
    places: Places,
}

impl Roots {
    pub(crate) fn of(paths: &Paths) -> Self {
        Self {
            places: paths.places().clone(),
        }
    }

    /// Tells whether a path is below one of the directories. Nothing is looked up: a name that leads back (`..`) is
    /// none of ours.
    pub(super) fn owns(&self, path: &Path) -> bool {
        let plain = |rest: &Path| {
            let mut names = rest.components().peekable();
            names.peek().is_some() && names.all(|name| matches!(name, Component::Normal(_)))
        };
        let below = |parent: &Path| path.strip_prefix(parent).is_ok_and(plain);
        self.places.all().into_iter().any(below)
    }

    /// Refuses a path that is not below one of the directories.
    pub(super) fn check(&self, path: &Path) -> HostResult<()> {
        match self.owns(path) {
            true => Ok(()),
            false => Err(ApiError::new(
                ErrorCode::Internal,
                format!(
                    "{} is outside banger's directories: it is neither removed nor moved",
                    path.display()
                ),
            )),
        }
    }

    /// Removes what the launch in a run directory has left outside of it.
    pub(super) fn forget_launch(&self, engine: &dyn Engine, path: &Path) -> HostResult<()> {
        match self.run_of(path) {
            Some(_) => engine.forget(path).map_err(|error| of_engine(&error)),
            None => Ok(()),
        }
    }

    /// The directory of run directories, when `path` is one of them and there.
    fn run_of(&self, path: &Path) -> Option<&Path> {
        let run = self.places.parents().run_vms.as_path();
        (path.parent() == Some(run) && path.exists()).then_some(run)
    }

    /// Refuses the run directory of a VMM or a network process that lives: its sockets would be lost for ever.
    pub(super) fn check_unused(
        &self,
        engine: &dyn Engine,
        networks: &Networks,
        path: &Path,
    ) -> HostResult<()> {
        let Some(run) = self.run_of(path) else {
            return Ok(());
        };
        let vmms = engine.list(run).map_err(|error| of_engine(&error))?;
        let vmm = vmms.iter().find(|vmm| vmm.dir() == path);
        let nets = networks.list(run)?;
        let net = nets.iter().find(|net| net.dir == path);
        let (what, pid) = match (vmm, net) {
            (Some(vmm), _) => ("VMM", vmm.pid),
            (None, Some(net)) => ("network", net.pid),
            (None, None) => return Ok(()),
        };
        let message = format!(
            "{what} process {pid} runs in {}: its directory is not removed",
            path.display()
        );
        Err(ApiError::new(ErrorCode::VmmFailed, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        let var = |name: &str| (name == "BANGER_HOME").then(|| "/b".into());
        Roots::of(&Paths::from_vars(&var).unwrap())
    }

    #[test]
    fn only_what_is_below_our_own_directories_is_removed() {
        for path in [
            "/b/state/vms/1",
            "/b/state/vms/1/work.img",
            "/b/run/vms/1",
            "/b/state/images/ab",
            "/b/state/kernels/cd/initramfs.cpio",
            "/b/state/staging/1-image",
        ] {
            assert!(roots().check(Path::new(path)).is_ok(), "{path}");
        }
        for path in [
            "",
            "/",
            "/home/me",
            "/b",
            "/b/state",
            "/b/state/vms",
            "/b/state/vms/",
            "/b/state/vms/..",
            "/b/state/vms/1/../../ssh",
            "/b/state/vmsx/1",
            "/b/state/ssh/id_ed25519",
            "/b/state/banger.db",
            "vms/1",
        ] {
            let error = roots().check(Path::new(path)).unwrap_err();
            assert!(
                error.message.contains("outside banger's directories"),
                "{path}"
            );
        }
    }
}
