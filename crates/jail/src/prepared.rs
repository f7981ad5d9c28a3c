//! A jail that is ready to be entered: all that needs memory, made before the fork.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::CapabilitySet;
use seccompiler::BpfProgram;

use crate::error::{Layer, Step};
use crate::{Access, Group, Item, JailError, Layers, Network, Spec, filter, rules, sys};

/// Most things in a jail: their mounts are held on the stack.
pub(crate) const ITEMS_MAX: usize = 64;
/// The first port at which everybody listens (ip(7), `ip_unprivileged_port_start`), unless the host has another.
const FIRST_OPEN_PORT: u16 = 1024;
/// User and group in a namespace for root, who must not be root in it (`nobody`).
const NOBODY: u32 = 65_534;

/// A jail that is ready to be entered.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) root: Option<Root>,
    pub(crate) user: Option<User>,
    /// Entrance of its control group.
    pub(crate) group: Option<OwnedFd>,
    pub(crate) limits: [(rustix::process::Resource, u64, Raised); 4],
    /// Capabilities that stay: none, or the one for low ports.
    pub(crate) kept: CapabilitySet,
    pub(crate) ruleset: Option<OwnedFd>,
    pub(crate) filters: Vec<BpfProgram>,
    pub(crate) report: OwnedFd,
    reports: OwnedFd,
    paths: Vec<PathBuf>,
    layers: Layers,
}

/// Tells whether a limit may be raised later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raised {
    /// By nobody.
    Never,
    /// By others, as far as the host allows; the filter refuses it to the process itself.
    ByOthers,
}

/// A user that a process of root becomes.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// Groups of the devices that are open to a group alone, such as `/dev/kvm`.
    pub(crate) groups: Vec<Gid>,
}

/// Namespaces, and the root in them.
#[derive(Debug)]
pub(crate) struct Root {
    /// `CLONE_NEW*`.
    pub(crate) flags: libc::c_int,
    /// Lines for `uid_map` and `gid_map`; none where no user namespace is needed.
    pub(crate) ids: Option<[Vec<u8>; 2]>,
    pub(crate) places: Vec<Place>,
    pub(crate) cwd: CString,
}

/// One thing in the new root.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) source: CString,
    /// Directories to it, outermost first, relative to the root.
    pub(crate) parents: Vec<CString>,
    pub(crate) target: CString,
    pub(crate) is_dir: bool,
    /// Its number among the items of the spec, for messages.
    pub(crate) item: usize,
    /// `MOUNT_ATTR_*`.
    pub(crate) attributes: u64,
}

impl Prepared {
    /// Prepares a jail. Nothing of the host is changed.
    ///
    /// # Errors
    /// [`JailError`] with the layer that is wanted and not there, or the path that cannot be part of it.
    pub fn new(spec: &Spec) -> Result<Self, JailError> {
        if spec.items.len() > ITEMS_MAX {
            let reason = format!("it has {} paths, more than {ITEMS_MAX}", spec.items.len());
            return Err(JailError::Spec { reason });
        }
        let abi = match (spec.landlock, sys::landlock_abi()) {
            (false, _) => None,
            (true, Some(abi)) => Some(abi),
            (true, None) => {
                let layer = Layer::Landlock;
                return Err(JailError::Absent { layer });
            }
        };
        let root = spec.namespaces.then(|| Root::of(spec)).transpose()?;
        let ruleset = abi.map(|abi| rules::ruleset(spec, abi)).transpose()?;
        // In a user namespace of an ordinary user there is no other user to become.
        let is_of_root = root.as_ref().is_some_and(|root| root.ids.is_none());
        let user = spec
            .user
            .filter(|uid| is_of_root && *uid != 0)
            .map(|uid| User::of(uid, &spec.items));
        let group = spec.group.as_ref().map(entrance).transpose()?;
        let filters = match spec.seccomp {
            true => filter::programs(&spec.network)?,
            false => Vec::new(),
        };
        let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
        let (reports, report) = pipe.map_err(|error| JailError::Step {
            layer: Layer::Always,
            step: "make a pipe",
            path: None,
            source: error.into(),
        })?;
        Ok(Self {
            layers: Layers {
                namespaces: root.is_some(),
                network_namespace: root.as_ref().is_some_and(Root::has_no_network),
                landlock_abi: abi,
                seccomp: spec.seccomp,
                user: user.as_ref().map(|user| user.uid.as_raw()),
                control_group: group.is_some(),
            },
            root,
            user,
            group,
            limits: limits(spec),
            kept: kept(&spec.network),
            ruleset,
            filters,
            report,
            reports,
            paths: spec.items.iter().map(|item| item.path.clone()).collect(),
        })
    }

    /// Has `command` enter the jail between fork and exec, after everything that was set on it before.
    pub fn hold(self: Arc<Self>, command: &mut Command) {
        sys::enter_before_exec(command, self);
    }

    /// Layers of this jail.
    #[must_use]
    pub fn layers(&self) -> Layers {
        self.layers
    }

    /// The failure that a child reported, in the parent after a spawn that failed; `None` when the jail was not the cause.
    #[must_use]
    pub fn failure(&self) -> Option<JailError> {
        self.was_entered()?.err()
    }

    /// The child's report: that it has entered, or the failure.
    pub(crate) fn was_entered(&self) -> Option<Result<(), JailError>> {
        let (step, index, errno) = self.reported()?;
        let path = usize::try_from(index)
            .ok()
            .and_then(|index| self.paths.get(index));
        Some(match step {
            Step::Entered => Ok(()),
            _ => Err(JailError::Step {
                layer: step.layer(),
                step: step.words(),
                path: path.cloned(),
                source: io::Error::from_raw_os_error(errno),
            }),
        })
    }

    fn reported(&self) -> Option<(Step, u32, i32)> {
        let mut report = [0; 9];
        let count = rustix::io::read(&self.reports, &mut report).ok()?;
        if count != report.len() {
            return None;
        }
        let [step, a, b, c, d, e, f, g, h] = report;
        let step = Step::of(step)?;
        let index = u32::from_ne_bytes([a, b, c, d]);
        Some((step, index, i32::from_ne_bytes([e, f, g, h])))
    }
}

/// The file through which a process becomes a member of a group.
fn entrance(group: &Group) -> Result<OwnedFd, JailError> {
    let path = group.entrance();
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| JailError::Step {
        layer: Layer::ControlGroup,
        step: Step::EnterGroup.words(),
        path: Some(path),
        source: error.into(),
    })
}

/// Capabilities for this network: that for low ports when it listens at one and its starter has it, as root has.
fn kept(network: &Network) -> CapabilitySet {
    let low = network.ports().iter().any(|port| *port < FIRST_OPEN_PORT);
    let has =
        rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    match low {
        true => has & CapabilitySet::NET_BIND_SERVICE,
        false => CapabilitySet::empty(),
    }
}

/// The limits, and whether each is also the most that anybody may set it to. The starter of a process may raise what its files
/// may have later, when one of them grows; that the process does so itself is refused by the filter, and without the filter
/// nobody may.
fn limits(spec: &Spec) -> [(rustix::process::Resource, u64, Raised); 4] {
    use rustix::process::Resource;
    let of_files = match spec.seccomp {
        true => Raised::ByOthers,
        false => Raised::Never,
    };
    [
        // 1, not 0: a program that takes cores (core(5), a pipe) is started in spite of 0. A file of 1 byte is never written.
        (Resource::Core, 1, Raised::Never),
        (Resource::Msgqueue, 0, Raised::Never),
        (Resource::Nofile, spec.descriptors_max, Raised::Never),
        (Resource::Fsize, spec.file_max_bytes, of_files),
    ]
}

impl User {
    fn of(uid: u32, items: &[Item]) -> Self {
        let devices = items.iter().filter(|item| item.access == Access::Device);
        let mut groups: Vec<Gid> = devices.filter_map(|item| group_of(&item.path)).collect();
        groups.dedup();
        Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(uid),
            groups,
        }
    }
}

/// The group to which a device is open, when it is not open to everybody.
fn group_of(device: &Path) -> Option<Gid> {
    const EVERYBODY: u32 = 0o006;
    const GROUP: u32 = 0o060;
    let metadata = device.metadata().ok()?;
    let mode = metadata.mode();
    let of_group = mode & EVERYBODY != EVERYBODY && mode & GROUP == GROUP && metadata.gid() != 0;
    of_group.then(|| Gid::from_raw(metadata.gid()))
}

impl Root {
    fn of(spec: &Spec) -> Result<Self, JailError> {
        let mut flags =
            libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
        if spec.network == Network::None {
            flags |= libc::CLONE_NEWNET;
        }
        let may_mount = rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
        let ids = (!may_mount).then(|| {
            flags |= libc::CLONE_NEWUSER;
            let line = |id: u32| {
                let inside = if id == 0 { NOBODY } else { id };
                format!("{inside} {id} 1").into_bytes()
            };
            [line(geteuid().as_raw()), line(getegid().as_raw())]
        });
        let mut places = Vec::new();
        let mut items: Vec<(usize, &Item)> = spec.items.iter().enumerate().collect();
        // A directory comes before what lies in it, which would be hidden otherwise.
        items.sort_by_key(|(_, item)| &item.path);
        for (number, item) in items {
            places.extend(Place::of(item, number)?);
        }
        Ok(Self {
            flags,
            ids,
            places,
            cwd: text(&spec.cwd)?,
        })
    }

    fn has_no_network(&self) -> bool {
        self.flags & libc::CLONE_NEWNET != 0
    }
}

impl Place {
    fn of(item: &Item, number: usize) -> Result<Option<Self>, JailError> {
        let is_dir = match item.path.metadata() {
            Ok(metadata) => metadata.is_dir(),
            Err(_) if item.optional => return Ok(None),
            Err(source) => {
                let path = item.path.clone();
                return Err(JailError::Path { path, source });
            }
        };
        let inside = |path: &Path| text(path.strip_prefix("/").unwrap_or(path));
        let mut parents: Vec<&Path> = item.path.ancestors().skip(1).collect();
        // The root itself is there.
        parents.pop();
        parents.reverse();
        let (read_only, no_suid, no_dev, no_exec) = (
            libc::MOUNT_ATTR_RDONLY,
            libc::MOUNT_ATTR_NOSUID,
            libc::MOUNT_ATTR_NODEV,
            libc::MOUNT_ATTR_NOEXEC,
        );
        Ok(Some(Self {
            source: text(&item.path)?,
            parents: parents.into_iter().map(inside).collect::<Result<_, _>>()?,
            target: inside(&item.path)?,
            is_dir,
            item: number,
            attributes: match item.access {
                Access::Read | Access::Execute => read_only | no_suid | no_dev,
                Access::Write | Access::MakeSockets | Access::MakeFiles => {
                    no_suid | no_dev | no_exec
                }
                Access::Device => no_suid | no_exec,
            },
        }))
    }
}

/// A path for the kernel. Only absolute ones without a NUL byte are taken, and not the root itself.
fn text(path: &Path) -> Result<CString, JailError> {
    let wrong = || JailError::Spec {
        reason: format!("{} cannot be a path in it", path.display()),
    };
    if path.as_os_str().is_empty() {
        return Err(wrong());
    }
    CString::new(path.as_os_str().as_bytes()).map_err(|_nul| wrong())
}
