//! The control group in which this process may make others.
//!
//! ```text
//! root                /sys/fs/cgroup/banger-vms, a group that systemd does not know and leaves alone
//! an ordinary user    the group of this process, where systemd has delegated it: Delegate=yes of its unit, and then
//!                     the attribute user.delegate (systemd's "Control Group APIs and Delegation")
//! ```
//!
//! A group that passes controllers on may hold no process (cgroups(7), "no internal processes"): whoever is in the
//! delegated one moves into one below it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Controllers, Group};

/// Group of root's.
const OF_ROOT: &str = "banger-vms";
/// Group for the processes that lay in a delegated one.
const DAEMON: &str = "daemon";
/// File with the controllers that a group passes on.
const PASSED: &str = "cgroup.subtree_control";
/// Attribute that systemd (251 and newer) gives to a delegated group.
const DELEGATED: &str = "user.delegate";

/// A group in which this process makes others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    folder: PathBuf,
    controllers: Controllers,
}

/// Causes why this process makes no groups.
#[derive(Debug, thiserror::Error)]
pub enum NoDelegation {
    /// The host has version 1 alone, or none.
    #[error("no control groups of version 2 are mounted")]
    Absent,
    /// The group of this process is somebody else's.
    #[error("the control group {} is not delegated to this user", path.display())]
    NotDelegated {
        /// The group.
        path: PathBuf,
    },
    /// Nothing can be limited in it.
    #[error("the control group {} passes on none of memory, cpu and pids", path.display())]
    NoControllers {
        /// The group.
        path: PathBuf,
    },
    /// The kernel refuses.
    #[error("cannot use the control group {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl NoDelegation {
    /// The way to change that, where there is one.
    #[must_use]
    pub fn fix(&self) -> Option<&'static str> {
        match self {
            Self::NotDelegated { .. } => Some(
                "start the daemon in a group of its own: systemd-run --user --scope -p Delegate=yes banger daemon run",
            ),
            Self::Absent => Some("boot the host with systemd.unified_cgroup_hierarchy=1"),
            Self::NoControllers { .. } | Self::Io { .. } => None,
        }
    }
}

/// Facts about this process that decide.
struct Facts {
    mountinfo: String,
    groups: String,
    is_root: bool,
}

/// Owner of the group in which others are made.
enum Whose {
    /// The root of all, where root makes one.
    Root,
    /// This user's, by delegation.
    Users,
}

impl Facts {
    fn read() -> Result<Self, NoDelegation> {
        let read = |path: &str| fs::read_to_string(path).map_err(failed(Path::new(path)));
        Ok(Self {
            mountinfo: read("/proc/self/mountinfo")?,
            groups: read("/proc/self/cgroup")?,
            is_root: rustix::process::geteuid().is_root(),
        })
    }

    fn folder(&self) -> Result<(PathBuf, Whose), NoDelegation> {
        let mount = mount_point(&self.mountinfo).ok_or(NoDelegation::Absent)?;
        if self.is_root {
            return Ok((mount, Whose::Root));
        }
        let own = own_group(&mount, &self.groups).ok_or(NoDelegation::Absent)?;
        // A daemon that has moved already lies below it.
        let above = own.parent().filter(|_| own.ends_with(DAEMON));
        let delegated = [Some(own.as_path()), above]
            .into_iter()
            .flatten()
            .find(|group| is_delegated(group));
        match delegated {
            Some(group) => Ok((group.to_owned(), Whose::Users)),
            None => Err(NoDelegation::NotDelegated { path: own }),
        }
    }
}

impl Delegation {
    /// The delegation of this process. Makes the groups that are needed, and moves this process into one of its own where it
    /// lies in a delegated one.
    ///
    /// # Errors
    /// [`NoDelegation`].
    pub fn of_this_process() -> Result<Self, NoDelegation> {
        Self::of(&Facts::read()?)
    }

    /// The delegation of a group that somebody has prepared: it holds no process and passes its controllers on.
    ///
    /// # Errors
    /// It is no group.
    pub fn at(folder: PathBuf) -> Result<Self, NoDelegation> {
        let controllers = read(&folder, PASSED)?;
        Ok(Self {
            folder,
            controllers,
        })
    }

    /// Controllers that the groups of this process could have. Nothing is made or changed.
    ///
    /// # Errors
    /// [`NoDelegation`], as [`Self::of_this_process`] would have.
    pub fn look() -> Result<Controllers, NoDelegation> {
        let facts = Facts::read()?;
        let (folder, _) = facts.folder()?;
        some_of(read(&folder, "cgroup.controllers")?, &folder)
    }

    fn of(facts: &Facts) -> Result<Self, NoDelegation> {
        let folder = match facts.folder()? {
            (mount, Whose::Root) => {
                some_of(pass_on(&mount)?, &mount)?;
                let folder = mount.join(OF_ROOT);
                make(&folder)?;
                folder
            }
            (delegated, Whose::Users) => {
                clear(&delegated)?;
                delegated
            }
        };
        let controllers = some_of(pass_on(&folder)?, &folder)?;
        Ok(Self {
            folder,
            controllers,
        })
    }

    /// Controllers that its groups have.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// The group with this name in it, which may not be there.
    #[must_use]
    pub fn group(&self, name: &str) -> Group {
        Group::at(self.folder.join(name))
    }
}

/// Mount point of the whole of version 2 in the text of `/proc/self/mountinfo` (proc(5)).
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let kind = file_system.split(' ').next()?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (kind == "cgroup2" && root == "/").then(|| unescaped(point))
    })
}

/// A path without the octal escapes of space, tab, newline and backslash.
fn unescaped(path: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => &after[3..],
            None => after,
        };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// The group of this process, from the text of `/proc/self/cgroup`: the line `0::PATH`. One outside of its name space is
/// nowhere.
fn own_group(mount: &Path, groups: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let is_inside = !path.split('/').any(|part| part == "..");
    is_inside.then(|| mount.join(path.trim_start_matches('/')))
}

fn is_delegated(group: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::getxattr(group, DELEGATED, &mut value)
        .is_ok_and(|length| value.get(..length) == Some(b"1".as_slice()))
}

/// Moves the processes of a group into one below it.
fn clear(group: &Path) -> Result<(), NoDelegation> {
    let list = group.join("cgroup.procs");
    let pids = fs::read_to_string(&list).map_err(failed(&list))?;
    if pids.trim().is_empty() {
        return Ok(());
    }
    let below = group.join(DAEMON);
    make(&below)?;
    let entrance = below.join("cgroup.procs");
    for pid in pids.lines() {
        match fs::write(&entrance, pid) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            moved => moved.map_err(failed(&entrance))?,
        }
    }
    Ok(())
}

/// Passes the controllers that a group has on to those below it; returns those that are.
fn pass_on(group: &Path) -> Result<Controllers, NoDelegation> {
    let (has, passes) = (read(group, "cgroup.controllers")?, read(group, PASSED)?);
    let control = group.join(PASSED);
    let passed: Vec<_> = passes.names().collect();
    for name in has.names().filter(|name| !passed.contains(name)) {
        fs::write(&control, format!("+{name}")).map_err(failed(&control))?;
    }
    read(group, PASSED)
}

/// The controllers in a file of a group.
fn read(group: &Path, file: &str) -> Result<Controllers, NoDelegation> {
    let path = group.join(file);
    let text = fs::read_to_string(&path).map_err(failed(&path))?;
    Ok(Controllers::of(&text))
}

fn some_of(controllers: Controllers, group: &Path) -> Result<Controllers, NoDelegation> {
    match controllers.is_empty() {
        true => Err(NoDelegation::NoControllers { path: group.into() }),
        false => Ok(controllers),
    }
}

fn make(group: &Path) -> Result<(), NoDelegation> {
    match fs::create_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(failed(group)),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> NoDelegation + use<> {
    let path = path.to_owned();
    |source| NoDelegation::Io { path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_of_version_2_is_found_among_others() {
        let hybrid = "26 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            27 26 0:23 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
            28 26 0:24 / /sys/fs/cgroup/unified rw shared:1 master:2 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            mount_point(hybrid).unwrap(),
            Path::new("/sys/fs/cgroup/unified")
        );
        let odd = "28 26 0:24 / /a\\040b\\134c\\9 rw - cgroup2 none rw\n";
        assert_eq!(mount_point(odd).unwrap(), Path::new("/a b\\c\\9"));
        for none in [
            "",
            "x",
            "1 2 0:3 / /sys",
            "1 2 0:3 / /sys/fs/cgroup rw - cgroup cgroup rw",
            // A part of it alone.
            "1 2 0:3 /user.slice /mnt rw - cgroup2 cgroup2 rw",
        ] {
            assert_eq!(mount_point(none), None, "{none}");
        }
    }

    #[test]
    fn the_own_group_is_that_of_version_2_inside_of_the_name_space() {
        let mount = Path::new("/m");
        let own = |text| own_group(mount, text);
        assert_eq!(
            own("8:pids:/a\n0::/user.slice/b\n").unwrap(),
            Path::new("/m/user.slice/b")
        );
        assert_eq!(own("0::/\n").unwrap(), Path::new("/m/"));
        for none in ["", "8:pids:/a\n", "0::/../b\n"] {
            assert_eq!(own(none), None, "{none}");
        }
    }

    fn facts(mount: &Path, own: &str, is_root: bool) -> Facts {
        Facts {
            mountinfo: format!("1 2 0:3 / {} rw - cgroup2 cgroup2 rw\n", mount.display()),
            groups: format!("0::{own}\n"),
            is_root,
        }
    }

    #[test]
    fn a_group_of_somebody_else_is_left_alone() {
        let mount = tempfile::tempdir().unwrap();
        let own = mount.path().join("user.slice");
        fs::create_dir(&own).unwrap();
        let error = Delegation::of(&facts(mount.path(), "/user.slice", false)).unwrap_err();
        assert!(matches!(&error, NoDelegation::NotDelegated { path } if *path == own));
        assert!(error.fix().unwrap().contains("Delegate=yes"));
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
    }

    #[test]
    fn a_host_without_version_2_or_without_controllers_is_named() {
        let nothing = Facts {
            mountinfo: String::new(),
            groups: String::new(),
            is_root: true,
        };
        assert!(matches!(
            Delegation::of(&nothing),
            Err(NoDelegation::Absent)
        ));

        let mount = tempfile::tempdir().unwrap();
        fs::write(mount.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        fs::write(mount.path().join("cgroup.subtree_control"), "\n").unwrap();
        let error = Delegation::of(&facts(mount.path(), "/", true)).unwrap_err();
        assert!(
            matches!(error, NoDelegation::NoControllers { .. }),
            "{error}"
        );
        assert!(!mount.path().join(OF_ROOT).exists());
    }

    #[test]
    fn controllers_that_are_passed_on_already_are_used_as_they_are() {
        let mount = tempfile::tempdir().unwrap();
        for group in ["", OF_ROOT] {
            let group = mount.path().join(group);
            fs::create_dir_all(&group).unwrap();
            for file in ["cgroup.controllers", "cgroup.subtree_control"] {
                fs::write(group.join(file), "cpu memory\n").unwrap();
            }
        }
        let delegation = Delegation::of(&facts(mount.path(), "/", true)).unwrap();
        assert_eq!(delegation.controllers().to_string(), "memory, cpu");
        let group = delegation.group("vm-1");
        assert_eq!(group.path(), mount.path().join("banger-vms/vm-1"));
    }

    #[test]
    fn processes_of_a_delegated_group_move_below_it() {
        let own = tempfile::tempdir().unwrap();
        fs::write(own.path().join("cgroup.procs"), "71\n72\n").unwrap();
        clear(own.path()).unwrap();
        let moved = fs::read_to_string(own.path().join("daemon/cgroup.procs")).unwrap();
        assert_eq!(moved, "72", "each is one write");
        fs::write(own.path().join("cgroup.procs"), "\n").unwrap();
        fs::remove_dir_all(own.path().join("daemon")).unwrap();
        clear(own.path()).unwrap();
        assert!(!own.path().join("daemon").exists());
    }
}
