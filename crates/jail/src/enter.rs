//! The way into the jail, between fork and exec: system calls, the stack, and what was prepared; no memory is allocated
//! or freed and no lock is taken.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use rustix::process::{DumpableBehavior, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::sock_filter;

use crate::error::Step;
use crate::prepared::{ITEMS_MAX, Place, Raised, Root, User};
use crate::{Prepared, filter, sys};

/// A directory that every host has and that the empty root may hide: nothing is looked up by path any more.
const OVER: &std::ffi::CStr = c"/proc";
/// No item of the spec belongs to a step.
const NO_ITEM: u32 = u32::MAX;

/// A step that failed.
struct Failed {
    step: Step,
    place: Option<usize>,
    errno: Errno,
}

fn at(step: Step) -> impl FnOnce(Errno) -> Failed {
    move |errno| Failed {
        step,
        place: None,
        errno,
    }
}

fn at_place(step: Step, place: usize) -> impl Fn(Errno) -> Failed {
    move |errno| Failed {
        step,
        place: Some(place),
        errno,
    }
}

impl Prepared {
    /// Moves this process into the jail. For a child that has one thread, between fork and exec.
    ///
    /// # Errors
    /// The kernel's; the step is told to [`Prepared::failure`] in the parent.
    pub fn enter(&self) -> io::Result<()> {
        self.steps().map_err(|failed| {
            let index = failed
                .place
                .and_then(|place| self.root.as_ref()?.places.get(place))
                .and_then(|place| u32::try_from(place.item).ok());
            self.say(failed.step, index.unwrap_or(NO_ITEM), failed.errno);
            failed.errno.into()
        })
    }

    /// Tells the parent that everything was entered.
    pub(crate) fn report_entered(&self) {
        self.say(Step::Entered, NO_ITEM, Errno::CANCELED);
    }

    fn say(&self, step: Step, index: u32, errno: Errno) {
        let [a, b, c, d] = index.to_ne_bytes();
        let [e, f, g, h] = errno.raw_os_error().to_ne_bytes();
        // A parent that does not hear it still has the kernel's error.
        let _ = rustix::io::write(&self.report, &[step as u8, a, b, c, d, e, f, g, h]);
    }

    fn steps(&self) -> Result<(), Failed> {
        if let Some(group) = &self.group {
            // `0` is the process that writes (cgroups(7)). Before its namespaces, whose root this group then is.
            rustix::io::write(group, b"0").map_err(at(Step::EnterGroup))?;
        }
        if let Some(root) = &self.root {
            root.enter()?;
        }
        self.limit().map_err(at(Step::Limit))?;
        gain_no_privileges(self.kept).map_err(at(Step::Privileges))?;
        if let Some(user) = &self.user {
            user.become_it(!self.kept.is_empty())
                .map_err(at(Step::Become))?;
        }
        keep_only(self.kept).map_err(at(Step::Privileges))?;
        if let Some(ruleset) = &self.ruleset {
            use std::os::fd::AsFd as _;
            sys::landlock_restrict(ruleset.as_fd()).map_err(at(Step::Landlock))?;
        }
        self.install_filters().map_err(at(Step::Seccomp))
    }

    fn limit(&self) -> Result<(), Errno> {
        sys::ignore_too_long_files()?;
        for (resource, wanted, raised) in self.limits {
            // An ordinary user cannot raise what the host has limited already.
            let most = rustix::process::getrlimit(resource).maximum;
            let limit = Some(most.map_or(wanted, |most| most.min(wanted)));
            let limit = Rlimit {
                current: limit,
                maximum: match raised {
                    Raised::Never => limit,
                    Raised::ByOthers => most,
                },
            };
            rustix::process::setrlimit(resource, limit)?;
        }
        Ok(())
    }

    fn install_filters(&self) -> Result<(), Errno> {
        let own_pid = rustix::process::getpid().as_raw_pid().unsigned_abs();
        const EMPTY: sock_filter = sock_filter {
            code: 0,
            jt: 0,
            jf: 0,
            k: 0,
        };
        let mut steps = [EMPTY; filter::INSTRUCTIONS_MAX];
        for program in &self.filters {
            let Some(steps) = steps.get_mut(..program.len()) else {
                return Err(Errno::NOMEM);
            };
            for (to, from) in steps.iter_mut().zip(program) {
                to.code = from.code;
                to.jt = from.jt;
                to.jf = from.jf;
                to.k = match from.k {
                    filter::OWN_PID => own_pid,
                    other => other,
                };
            }
            sys::install_filter(steps)?;
        }
        Ok(())
    }
}

impl User {
    /// Becomes this user. Capabilities go with root's uid, unless some are to stay.
    fn become_it(&self, keeping: bool) -> Result<(), Errno> {
        use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
        if keeping {
            rustix::thread::set_keep_capabilities(true)?;
        }
        set_thread_groups(&self.groups)?;
        set_thread_gid(self.gid)?;
        set_thread_uid(self.uid)
    }
}

/// No capability but these is to be gained, and there is no tracing until the exec.
fn gain_no_privileges(kept: CapabilitySet) -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)?;
    // The exec of a readable program sets it back, which its starter needs: it recognises the process by `/proc`.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    sys::empty_bounding_set(kept)?;
    rustix::thread::clear_ambient_capability_set()
}

/// No capability but these is in any set.
fn keep_only(kept: CapabilitySet) -> Result<(), Errno> {
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: kept,
        },
    )?;
    // Whoever is not root loses what is not ambient when it executes a program (capabilities(7)).
    for capability in kept {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

impl Root {
    fn enter(&self) -> Result<(), Failed> {
        sys::unshare(self.flags).map_err(at(Step::Unshare))?;
        if let Some([uids, gids]) = &self.ids {
            // user_namespaces(7): an ordinary user gives the right to change groups away first.
            write(c"/proc/self/setgroups", b"deny")
                .and_then(|()| write(c"/proc/self/uid_map", uids))
                .and_then(|()| write(c"/proc/self/gid_map", gids))
                .map_err(at(Step::MapIds))?;
        }
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(c"/", private).map_err(at(Step::Detach))?;
        // The root is passable whoever the process is; its files stay private to the user.
        let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
        self.fill()?;
        rustix::process::umask(umask);
        rustix::process::chdir(&*self.cwd).map_err(at(Step::Directory))
    }

    /// Takes every mount before the empty root hides some of them, then puts them into it.
    fn fill(&self) -> Result<(), Failed> {
        let mut taken = [const { None::<OwnedFd> }; ITEMS_MAX];
        for (index, (place, slot)) in self.places.iter().zip(&mut taken).enumerate() {
            *slot = Some(place.take().map_err(at_place(Step::Look, index))?);
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount(c"jail", OVER, c"tmpfs", flags, Some(c"mode=0755,size=64k"))
            .and_then(|()| rustix::process::chdir(OVER))
            .map_err(at(Step::NewRoot))?;
        for (index, (place, tree)) in self.places.iter().zip(&taken).enumerate() {
            place.make().map_err(at_place(Step::MakeTarget, index))?;
            if let Some(tree) = tree {
                let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                rustix::mount::move_mount(tree, c"", CWD, &*place.target, empty)
                    .map_err(at_place(Step::Attach, index))?;
            }
        }
        // pivot_root(2): the old root then lies over the new one, and is taken away.
        rustix::process::pivot_root(c".", c".")
            .and_then(|()| rustix::mount::unmount(c".", UnmountFlags::DETACH))
            .and_then(|()| rustix::process::chdir(c"/"))
            .map_err(at(Step::EnterRoot))?;
        let sealed = libc::MOUNT_ATTR_RDONLY
            | libc::MOUNT_ATTR_NOSUID
            | libc::MOUNT_ATTR_NODEV
            | libc::MOUNT_ATTR_NOEXEC;
        sys::add_mount_attributes(CWD, c"/", 0, sealed).map_err(at(Step::SealRoot))
    }
}

impl Place {
    fn take(&self) -> Result<OwnedFd, Errno> {
        use std::os::fd::AsFd as _;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = rustix::mount::open_tree(CWD, &*self.source, flags)?;
        let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
        sys::add_mount_attributes(tree.as_fd(), c"", flags, self.attributes)?;
        Ok(tree)
    }

    fn make(&self) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(0o755);
        let unless_there = |made: Result<(), Errno>| match made {
            Err(Errno::EXIST) => Ok(()),
            made => made,
        };
        for parent in &self.parents {
            unless_there(rustix::fs::mkdir(&**parent, mode))?;
        }
        unless_there(match self.is_dir {
            true => rustix::fs::mkdir(&*self.target, mode),
            false => {
                let file = FileType::RegularFile;
                rustix::fs::mknodat(CWD, &*self.target, file, Mode::RUSR, 0)
            }
        })
    }
}

fn write(path: &std::ffi::CStr, text: &[u8]) -> Result<(), Errno> {
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    match rustix::io::write(&file, text)? {
        count if count == text.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}
