//! Control groups (cgroups(7), version 2): the kernel's limits of memory, processors and tasks for one process in a jail.
//!
//! ```text
//! /sys/fs/cgroup/…/   delegated to this user, or root's /sys/fs/cgroup/banger-vms Delegation
//!                  ├─ daemon       whoever makes the groups, where it lay in the delegated one
//!                  └─ vm-…         one process in a jail; its limits                Group
//! ```
//!
//! A group is no secret and holds nothing: the kernel refuses to remove one in which something lives, so one that was
//! left is removed by whoever finds it. Nothing is written outside of the delegated group, but for root.

mod delegation;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use delegation::{Delegation, NoDelegation};

use crate::JailError;
use crate::error::Layer;

/// Time that one CPU is looked at for its limit, µs (`cpu.max`; the kernel's own default).
const PERIOD_US: u64 = 100_000;
/// Tries to remove a group whose last process has just been ended.
const TRIES: u32 = 20;
/// Pause between two.
const PAUSE: Duration = Duration::from_millis(10);

/// Limits of a group. Those whose controller the delegation does not have are not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimits {
    /// Bytes of memory, those of files in the page cache among it, which the kernel gives up first.
    pub memory_max_bytes: u64,
    /// CPUs that it may keep busy.
    pub cpus_max: u32,
    /// Processes and threads.
    pub tasks_max: u32,
}

/// Controllers that a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controllers {
    /// `memory`.
    pub memory: bool,
    /// `cpu`.
    pub cpu: bool,
    /// `pids`.
    pub pids: bool,
}

impl Controllers {
    /// Controllers in the text of a `cgroup.controllers` or `cgroup.subtree_control`.
    fn of(text: &str) -> Self {
        let has = |name| text.split_ascii_whitespace().any(|word| word == name);
        Self {
            memory: has("memory"),
            cpu: has("cpu"),
            pids: has("pids"),
        }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("memory", self.memory),
            ("cpu", self.cpu),
            ("pids", self.pids),
        ];
        all.into_iter()
            .filter_map(|(name, has)| has.then_some(name))
    }

    /// Tells whether none is there.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl std::fmt::Display for Controllers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.write_str(&names.join(", "))
    }
}

/// A group for one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// The group at `path`, which may not be there.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file to which a process writes `0` to become a member.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Makes it with these limits, or gives them to the one that is there.
    ///
    /// # Errors
    /// [`JailError`] of the layer, with the file that cannot be written.
    pub fn make(&self, limits: &GroupLimits) -> Result<(), JailError> {
        match fs::create_dir(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("make the group", &self.path, source));
            }
            _ => {}
        }
        let controllers = self.path.join("cgroup.controllers");
        let has = fs::read_to_string(&controllers)
            .map(|text| Controllers::of(&text))
            .map_err(|source| failed("read", &controllers, source))?;
        let cpu = u64::from(limits.cpus_max) * PERIOD_US;
        let values = [
            (
                has.memory,
                "memory.max",
                limits.memory_max_bytes.to_string(),
            ),
            (has.memory, "memory.oom.group", "1".to_owned()),
            (has.cpu, "cpu.max", format!("{cpu} {PERIOD_US}")),
            (has.pids, "pids.max", limits.tasks_max.to_string()),
        ];
        for (_, file, value) in values.into_iter().filter(|(has, ..)| *has) {
            let path = self.path.join(file);
            fs::write(&path, value).map_err(|source| failed("set", &path, source))?;
        }
        Ok(())
    }

    /// Removes it when it is there, after it has ended what may still live in it.
    ///
    /// # Errors
    /// Something lives in it that does not end, or it has groups below it.
    pub fn remove(&self) -> io::Result<()> {
        for tried in 0.. {
            match fs::remove_dir(&self.path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if tried == TRIES => return Err(error),
                // The kernel notices the end of a process a moment after its parent (cgroups(7)).
                Err(_) if tried == 0 => {
                    // Before Linux 5.14 there is no such file.
                    let _ = fs::write(self.path.join("cgroup.kill"), "1");
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        Ok(())
    }

    /// Processes of it that the kernel has ended because it wanted more memory than its limit; 0 when that cannot be read.
    #[must_use]
    pub fn ended_for_memory(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0)
    }
}

fn failed(step: &'static str, path: &Path, source: io::Error) -> JailError {
    JailError::Step {
        layer: Layer::ControlGroup,
        step,
        path: Some(path.to_owned()),
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMITS: GroupLimits = GroupLimits {
        memory_max_bytes: 1 << 30,
        cpus_max: 3,
        tasks_max: 100,
    };

    /// A directory that looks like a group with these controllers.
    fn group(controllers: &str) -> (tempfile::TempDir, Group) {
        let folder = tempfile::tempdir().unwrap();
        let group = Group::at(folder.path().join("vm-1"));
        fs::create_dir(group.path()).unwrap();
        fs::write(group.path().join("cgroup.controllers"), controllers).unwrap();
        (folder, group)
    }

    #[test]
    fn limits_are_set_where_their_controller_is_there() {
        let (_folder, all) = group("cpuset cpu io memory pids\n");
        all.make(&LIMITS).unwrap();
        let read = |file: &str| fs::read_to_string(all.path().join(file)).ok();
        assert_eq!(read("memory.max").as_deref(), Some("1073741824"));
        assert_eq!(read("memory.oom.group").as_deref(), Some("1"));
        assert_eq!(read("cpu.max").as_deref(), Some("300000 100000"));
        assert_eq!(read("pids.max").as_deref(), Some("100"));

        let (_folder, some) = group("pids\n");
        some.make(&LIMITS).unwrap();
        assert!(some.path().join("pids.max").exists());
        assert!(!some.path().join("memory.max").exists() && !some.path().join("cpu.max").exists());
    }

    #[test]
    fn a_group_that_cannot_be_made_names_its_layer_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Group::at(folder.path().join("no/vm-1"));
        let error = nowhere.make(&LIMITS).unwrap_err();
        assert_eq!(error.layer(), Some(Layer::ControlGroup));
        assert!(error.to_string().contains("no/vm-1"), "{error}");
        // A directory of another file system is no group.
        let plain = Group::at(folder.path().join("vm-1"));
        let error = plain.make(&LIMITS).unwrap_err();
        assert!(error.to_string().contains("cgroup.controllers"), "{error}");
    }

    #[test]
    fn what_is_gone_is_removed_and_what_holds_something_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group::at(folder.path().join("vm-1"));
        group.remove().unwrap();
        fs::create_dir_all(group.path().join("below")).unwrap();
        assert!(group.remove().is_err());
        fs::remove_dir(group.path().join("below")).unwrap();
        fs::remove_file(group.path().join("cgroup.kill")).unwrap();
        group.remove().unwrap();
        assert!(!group.path().exists());
    }

    #[test]
    fn ends_for_want_of_memory_are_counted() {
        let (_folder, group) = group("memory\n");
        assert_eq!(group.ended_for_memory(), 0);
        let events = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 1\n";
        fs::write(group.path().join("memory.events"), events).unwrap();
        assert_eq!(group.ended_for_memory(), 2);
        fs::write(group.path().join("memory.events"), "oom_kill x\n").unwrap();
        assert_eq!(group.ended_for_memory(), 0);
    }
}
