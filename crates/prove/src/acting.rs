//! Work of one daemon on a simulated machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use banger_api::{ApiError, ErrorCode};
use banger_ops::HostResult;

use crate::content::cut;
use crate::fault::Nature::{self, Effect, Look};
use crate::machine::{Extent, Machine, World};

pub(crate) const NO_DEADLINE: Duration = Duration::ZERO;

/// A simulated machine as a host. Cheap to clone: all clones are one machine.
#[derive(Clone)]
pub struct SimHost {
    pub(crate) machine: Arc<Machine>,
    /// The number of the daemon that acts through it.
    pub(crate) daemon: u64,
}

/// The rule that two daemons at a time break.
const TWO_DAEMONS: &str = "a daemon acts after the next one has begun";

pub(crate) fn failed(code: ErrorCode, message: impl Into<String>) -> ApiError {
    ApiError::new(code, message)
}

impl SimHost {
    /// Ends the process with this pid, without further checks: a bug to plant, of code that trusts a pid.
    pub fn end_bare_pid(&self, pid: u32) {
        self.machine.world().processes.end(pid, None);
    }

    /// Tells whether a process with this pid lives, without further checks: a bug to plant, of code that trusts a pid.
    pub fn pid_lives(&self, pid: u32) -> bool {
        self.machine.world().processes.list.contains_key(&pid)
    }

    /// Anything that this daemon does. It has the machine to itself.
    pub(crate) fn act<T>(
        &self,
        nature: Nature,
        what: &'static str,
        path: &Path,
        deadline: Duration,
        effect: impl FnOnce(&mut World, Extent) -> HostResult<T>,
    ) -> HostResult<T> {
        let daemon = self.daemon;
        let alone = move |world: &mut World, extent| {
            if world.daemon != daemon {
                world.broke(TWO_DAEMONS.to_owned());
            }
            effect(world, extent)
        };
        self.machine.act(nature, what, path, deadline, alone)
    }

    pub(crate) fn look<T>(
        &self,
        what: &'static str,
        path: &Path,
        look: impl FnOnce(&mut World) -> HostResult<T>,
    ) -> HostResult<T> {
        self.act(Look, what, path, NO_DEADLINE, |world, _| look(world))
    }

    pub(crate) fn effect<T>(
        &self,
        what: &'static str,
        path: &Path,
        effect: impl FnOnce(&mut World, Extent) -> HostResult<T>,
    ) -> HostResult<T> {
        self.act(Effect, what, path, NO_DEADLINE, effect)
    }

    pub(crate) fn write(
        &self,
        what: &'static str,
        path: &Path,
        content: u64,
        bytes: u64,
    ) -> HostResult<()> {
        self.effect(what, path, |world, extent| {
            world.guard_work_disk(path);
            world.files.write(path, cut(content, extent), bytes)
        })
    }
}
