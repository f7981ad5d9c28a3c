//! Looking for processes of which no pid was kept: by token, or by the directory in which they run.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::{Identity, ProcessError, Program, proc};

/// A process that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Identity by which it is recognised from now on.
    pub identity: Identity,
    /// Its command line.
    pub args: Vec<OsString>,
    /// The directory in which it runs, without links.
    pub cwd: PathBuf,
}

/// The executable of a process now; `None` when it has ended.
///
/// # Errors
/// `/proc` does not tell.
pub fn observe(pid: u32) -> Result<Option<PathBuf>, ProcessError> {
    Ok(proc::observe(pid)?.map(|seen| seen.exe))
}

/// Looks among this user's processes (root's: among all) for the start of `program` with this token, which runs in `dir`. The process `hint`, when
/// there is one, is looked at first: that saves a look at every process of the host.
///
/// # Errors
/// `/proc` cannot be read.
pub fn find(
    program: &Program,
    token: &str,
    dir: &Path,
    hint: Option<u32>,
) -> Result<Option<Seen>, ProcessError> {
    let real_dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let wanted = |seen: &Seen| seen.identity.token == token && seen.cwd == real_dir;
    let mut found = among(program, hint.into_iter().collect(), &wanted)?;
    if found.is_empty() {
        found = among(program, proc::own_pids()?, &wanted)?;
    }
    Ok(found.into_iter().next())
}

/// All of this user's processes of `program` (root's: of everybody's) that run in a directory directly below `parent`, recorded or not.
///
/// # Errors
/// `/proc` cannot be read.
pub fn list(program: &Program, parent: &Path) -> Result<Vec<Seen>, ProcessError> {
    let real_parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
    let below = |seen: &Seen| seen.cwd.parent() == Some(&real_parent);
    among(program, proc::own_pids()?, &below)
}

fn among(
    program: &Program,
    pids: Vec<u32>,
    wanted: &dyn Fn(&Seen) -> bool,
) -> Result<Vec<Seen>, ProcessError> {
    let boot_id = proc::boot_id()?;
    let mut found = Vec::new();
    for pid in pids {
        // A process of the user's that may not be looked at is not ours.
        let Ok(Some(observed)) = proc::observe(pid) else {
            continue;
        };
        let token = |arg: &OsString| (program.token_of)(OsStr::new(arg)).map(str::to_owned);
        let Some(token) = observed.args.iter().find_map(token) else {
            continue;
        };
        let Some(cwd) = proc::cwd(pid).filter(|_| (program.is_executable)(&observed.exe)) else {
            continue;
        };
        let identity = Identity {
            pid,
            start_ticks: observed.start_ticks,
            boot_id: boot_id.clone(),
            exe: observed.exe,
            token,
        };
        let seen = Seen {
            identity,
            args: observed.args,
            cwd,
        };
        if wanted(&seen) {
            found.push(seen);
        }
    }
    Ok(found)
}
