//! State of processes, read cheaply enough for a list of all of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::{Identity, ProcessError, cgroup, proc};

/// State of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is executed.
    Runs,
    /// It lives and is not executed until something resumes it.
    StandsStill(Stillness),
    /// It has ended, or another process has its pid.
    Gone,
}

/// Cause of a standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stillness {
    /// A signal stopped it (`SIGSTOP`, `SIGTSTP`): `SIGCONT` lets it go on.
    Stopped,
    /// A debugger holds it.
    Traced,
    /// Its control group is frozen.
    Frozen,
}

/// One look at several processes. It remembers which control groups are frozen, so it must be as short as one answer.
#[derive(Debug)]
pub struct Look {
    root: PathBuf,
    frozen: HashMap<String, bool>,
}

impl Default for Look {
    fn default() -> Self {
        Self::new()
    }
}

impl Look {
    /// A new look.
    #[must_use]
    pub fn new() -> Self {
        Self::below(Path::new("/sys/fs/cgroup"))
    }

    fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            frozen: HashMap::new(),
        }
    }

    /// State of the process of `id`. It is not opened: boot, pid and start time, read at one moment, name one process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn standing(&mut self, id: &Identity) -> Result<Standing, ProcessError> {
        if proc::boot_id()? != id.boot_id {
            return Ok(Standing::Gone);
        }
        let Some((state, _)) =
            proc::state(id.pid)?.filter(|(_, start_ticks)| *start_ticks == id.start_ticks)
        else {
            return Ok(Standing::Gone);
        };
        // proc(5): Z zombie, X dead, T stopped by a signal, t stopped by a tracer.
        match state {
            b'Z' | b'X' => Ok(Standing::Gone),
            b'T' => Ok(Standing::StandsStill(Stillness::Stopped)),
            b't' => Ok(Standing::StandsStill(Stillness::Traced)),
            // A process on a processor is not frozen.
            b'R' => Ok(Standing::Runs),
            _ => Ok(match self.is_frozen(&proc::cgroups(id.pid)?) {
                true => Standing::StandsStill(Stillness::Frozen),
                false => Standing::Runs,
            }),
        }
    }

    fn is_frozen(&mut self, groups: &str) -> bool {
        if let Some(known) = self.frozen.get(groups) {
            return *known;
        }
        let frozen = cgroup::is_frozen(&self.root, groups);
        self.frozen.insert(groups.to_owned(), frozen);
        frozen
    }
}
