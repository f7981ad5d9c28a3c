//! Control groups (cgroups(7), version 2): the agent and each command in one of their own, beside those of the guest's init.
//!
//! ```text
//! /sys/fs/cgroup/  init's own: init.scope, system.slice, …
//!                  banger/agent         the service and its keeper
//!                  banger/exec/PID-N    the N-th command that the process PID has started, with all that it starts
//! ```
//!
//! systemd ends the whole of `init.scope` when the kernel ends one process in it for want of memory (`OOMPolicy=stop`). In
//! groups that it does not know, such an end is that of the one process (`memory.oom.group` is 0 unless somebody sets it).
//!
//! No controller is turned on here: which the root passes on is init's to say. Without version 2 of control groups, or
//! with a kernel before 5.14 (`cgroup.kill`), commands run all the same, and are ended by their sessions.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

/// Mount point of version 2.
const MOUNT: &str = "/sys/fs/cgroup";
/// The service and its keeper.
const AGENT: &str = "banger/agent";
/// Above the groups of commands.
const COMMANDS: &str = "banger/exec";
/// Deepest groups that a command has made below its own and that are removed with it.
const DEPTH: usize = 16;

/// Groups of commands that have ended while something that they had started lived on.
static LEFT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Makes the groups of this guest, and moves this process into the agent's.
///
/// # Errors
/// The guest has no control groups of version 2, or they cannot be made.
pub fn found() -> io::Result<()> {
    let mount = Path::new(MOUNT);
    std::fs::create_dir_all(mount.join(COMMANDS))?;
    std::fs::create_dir_all(mount.join(AGENT))?;
    enter()
}

/// Moves this process into the agent's group, wherever its parent put it.
///
/// # Errors
/// There is no such group.
pub fn enter() -> io::Result<()> {
    std::fs::write(Path::new(MOUNT).join(AGENT).join("cgroup.procs"), "0")
}

/// The directory for the groups of commands, where a guest has it.
#[must_use]
pub fn of_commands() -> Option<PathBuf> {
    let folder = Path::new(MOUNT).join(COMMANDS);
    folder.join("cgroup.procs").exists().then_some(folder)
}

/// Tells whether a command of the host, or something that it has started, runs. `false` where commands have no groups.
#[must_use]
pub fn commands_run() -> bool {
    let events = Path::new(MOUNT).join(COMMANDS).join("cgroup.events");
    std::fs::read_to_string(events)
        .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// Removes the empty groups that processes before this one have left: those that still hold something stay.
pub fn sweep(folder: &Path) {
    let lives = |name: &str| {
        let maker = name.split('-').next().unwrap_or_default();
        Path::new("/proc").join(maker).exists()
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(lives) {
            remove(&entry.path(), DEPTH);
        }
    }
}

/// The group of one command.
#[derive(Debug)]
pub struct CommandGroup {
    path: PathBuf,
}

impl CommandGroup {
    /// Makes one below `folder`. Those of earlier commands go when nothing is left in them.
    ///
    /// # Errors
    /// The group cannot be made.
    pub fn make(folder: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|path| !remove(path, DEPTH));
        drop(left);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// The file to which a process writes `0` to become a member.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn entrance(&self) -> io::Result<OwnedFd> {
        let path = self.path.join("cgroup.procs");
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&path, flags, Mode::empty())?)
    }

    /// Ends every member, whatever it has done to be found by nobody; `false`: this kernel cannot.
    #[must_use]
    pub fn kill(&self) -> bool {
        std::fs::write(self.path.join("cgroup.kill"), "1").is_ok()
    }

    /// The pids of its members, and of those of the groups that it has made below its own.
    #[must_use]
    pub fn members(&self) -> HashSet<i32> {
        members_of(&self.path)
    }
}

impl Drop for CommandGroup {
    fn drop(&mut self) {
        if !remove(&self.path, DEPTH) {
            let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            left.push(std::mem::take(&mut self.path));
        }
    }
}

/// The pids in a group and in those below it.
#[must_use]
pub fn members_of(group: &Path) -> HashSet<i32> {
    let mut found = HashSet::new();
    gather(group, DEPTH, &mut found);
    found
}

fn gather(group: &Path, depth: usize, found: &mut HashSet<i32>) {
    let listed = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(listed.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    for below in below(group).filter(|_| depth > 0) {
        gather(&below, depth - 1, found);
    }
}

/// The groups that a group has.
pub fn below(group: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

/// Removes a group and those below it; `false`: something lives there.
fn remove(group: &Path, depth: usize) -> bool {
    if std::fs::remove_dir(group).is_ok() {
        return true;
    }
    if depth > 0 {
        for below in below(group) {
            remove(&below, depth - 1);
        }
    }
    match std::fs::remove_dir(group) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_goes_with_those_below_it_and_one_that_holds_something_goes_later() {
        let folder = tempfile::tempdir().unwrap();
        let group = CommandGroup::make(folder.path()).unwrap();
        let path = group.path.clone();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        drop(group);
        assert!(!path.exists());

        let busy = CommandGroup::make(folder.path()).unwrap();
        let path = busy.path.clone();
        // On an ordinary file system a file keeps a directory as a process keeps a group.
        std::fs::write(path.join("process"), "").unwrap();
        drop(busy);
        assert!(path.exists());
        std::fs::remove_file(path.join("process")).unwrap();
        let next = CommandGroup::make(folder.path()).unwrap();
        assert!(!path.exists() && next.path.exists());
    }

    #[test]
    fn only_the_groups_of_makers_that_are_gone_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let ours = folder.path().join(format!("{}-7", std::process::id()));
        // The kernel gives no such pid (`PID_MAX_LIMIT` is 2^22).
        let gone = folder.path().join("9999999-1");
        std::fs::create_dir(&ours).unwrap();
        std::fs::create_dir(&gone).unwrap();
        sweep(folder.path());
        assert!(ours.exists() && !gone.exists());
    }

    #[test]
    fn members_are_those_of_the_group_and_of_all_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let group = CommandGroup::make(folder.path()).unwrap();
        std::fs::create_dir_all(group.path.join("a/b")).unwrap();
        for (place, pids) in [("", "10\n11\n"), ("a/b", "12\nx\n\n")] {
            std::fs::write(group.path.join(place).join("cgroup.procs"), pids).unwrap();
        }
        assert_eq!(group.members(), [10, 11, 12].into());
    }

    #[test]
    fn a_group_that_is_gone_has_no_members_and_cannot_be_ended() {
        let folder = tempfile::tempdir().unwrap();
        let group = CommandGroup::make(folder.path()).unwrap();
        std::fs::remove_dir(&group.path).unwrap();
        assert!(!group.kill() && group.members().is_empty());
    }
}
