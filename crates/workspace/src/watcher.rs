//! Changes of a repository on this host, as the kernel tells them (inotify(7)).
//!
//! ```text
//! survey ──follow──► folders that can hold what is sent, and git's own ──► watches
//! events ──seen────► Nothing | Changed | Overflowed        the caller takes a new survey, and follows it
//! ```
//!
//! An event is a reason to look, never the news itself: what changed is found by the next survey, as for a second
//! prepare. So an overflow of the kernel's queue loses nothing, and a survey that was taken after [`Watcher::follow`]
//! has set all its watches misses nothing.
//!
//! Not told by the kernel, and so not seen: writes through a memory mapping, and those of other machines to a network
//! file system.

mod places;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::error::{WatchLimit, WorkspaceError};
use crate::survey::Survey;
use places::{Kind, files, places};

/// Bytes of events that are read at once.
const EVENTS: usize = 64 * 1024;
/// Files that change which other files are sent, or how, whether git tracks them or not.
const RULES: [&str; 3] = [".gitignore", ".gitattributes", ".gitmodules"];

/// News from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Nothing that can change what is sent.
    Nothing,
    /// Something that may.
    Changed,
    /// More than the kernel's queue holds: anything may have changed.
    Overflowed,
}

/// The watches of one workspace. Its descriptor ([`AsFd`]) is readable when [`Watcher::seen`] has something to read.
#[derive(Debug)]
pub struct Watcher {
    inotify: OwnedFd,
    /// Watched folders by the kernel's number of the watch.
    watched: HashMap<i32, (PathBuf, Kind)>,
    /// Folders that are wanted, as of the last survey.
    wanted: BTreeMap<PathBuf, Kind>,
    /// Files that are sent, as of the last survey.
    tracked: HashSet<PathBuf>,
    /// Untracked files are sent, too.
    untracked: bool,
    /// A folder came, went or moved: which watch has which path must be found anew.
    stale: bool,
}

impl Watcher {
    /// A watcher that watches nothing yet.
    ///
    /// # Errors
    /// The user has as many watchers as the kernel allows.
    pub fn new() -> Result<Self, WorkspaceError> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        Ok(Self {
            inotify: inotify.map_err(|errno| WorkspaceError::Watch {
                what: "this repository".to_owned(),
                limit: (errno == Errno::MFILE).then_some(WatchLimit::Watchers),
                source: errno.into(),
            })?,
            watched: HashMap::new(),
            wanted: BTreeMap::new(),
            tracked: HashSet::new(),
            untracked: false,
            stale: true,
        })
    }

    /// Number of folders that are watched.
    pub fn folders(&self) -> usize {
        self.watched.len()
    }

    /// Watches what this survey found. True when a watch is new: what happened there before it was set is in no event,
    /// so another survey must be taken.
    ///
    /// # Errors
    /// A folder cannot be read, or the kernel's limit of watches is reached.
    pub fn follow(&mut self, survey: &Survey) -> Result<bool, WorkspaceError> {
        let wanted = places(survey)?;
        self.untracked = survey.wanted.include_untracked;
        self.tracked = files(survey);
        if !self.stale && wanted == self.wanted {
            return Ok(false);
        }
        let mut watched = HashMap::with_capacity(wanted.len());
        for (path, kind) in &wanted {
            if let Some(watch) = self.watch(path)? {
                watched.insert(watch, (path.clone(), *kind));
            }
        }
        let is_new = watched
            .keys()
            .any(|watch| !self.watched.contains_key(watch));
        for watch in self.watched.keys() {
            if !watched.contains_key(watch) {
                // The kernel has taken those of removed folders away itself.
                let _ = inotify::remove_watch(&self.inotify, *watch);
            }
        }
        self.watched = watched;
        self.wanted = wanted;
        self.stale = false;
        Ok(is_new)
    }

    /// Reads all events that have come.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn seen(&mut self) -> Result<Seen, WorkspaceError> {
        let mut seen = Seen::Nothing;
        let mut buffer = vec![MaybeUninit::uninit(); EVENTS];
        let inotify = self.inotify.try_clone().map_err(unreadable)?;
        let mut events = Reader::new(inotify, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(seen),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(unreadable(errno.into())),
            };
            let name = event
                .file_name()
                .map(|name| OsStr::from_bytes(name.to_bytes()));
            seen = seen.max(self.judge(event.wd(), event.events(), name));
        }
    }

    fn judge(&mut self, watch: i32, events: ReadFlags, name: Option<&OsStr>) -> Seen {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.stale = true;
            return Seen::Overflowed;
        }
        // An event of a watch that has been taken away since.
        let Some((folder, kind)) = self.watched.get(&watch) else {
            return Seen::Nothing;
        };
        let Some(name) = name else {
            // The folder itself.
            let gone = ReadFlags::DELETE_SELF
                | ReadFlags::MOVE_SELF
                | ReadFlags::IGNORED
                | ReadFlags::UNMOUNT;
            if !events.intersects(gone) {
                return Seen::Nothing;
            }
            self.stale = true;
            if events.contains(ReadFlags::IGNORED) {
                self.watched.remove(&watch);
            }
            return Seen::Changed;
        };
        let path = folder.join(name);
        let is_folder = events.contains(ReadFlags::ISDIR);
        let stays = ReadFlags::ATTRIB | ReadFlags::ISDIR;
        if is_folder && stays.contains(events) {
            return Seen::Nothing;
        }
        let concerns = match (kind, is_folder) {
            (Kind::Tree, true) => {
                self.untracked || name == ".git" || self.wanted.contains_key(&path)
            }
            (Kind::Tree, false) => self.file(&path, name),
            (Kind::Git, true) => self.wanted.contains_key(&path),
            (Kind::Git, false) => places::GIT_FILES.iter().any(|file| name == *file),
            (Kind::Refs, true) => true,
            (Kind::Refs, false) => !name.as_bytes().ends_with(b".lock"),
        };
        self.stale |= concerns && is_folder;
        match concerns {
            true => Seen::Changed,
            false => Seen::Nothing,
        }
    }

    fn file(&self, path: &Path, name: &OsStr) -> bool {
        self.untracked
            || self.tracked.contains(path)
            || name == ".git"
            || RULES.iter().any(|rule| name == *rule)
            // A folder of tracked files has become a file.
            || self.wanted.contains_key(path)
    }

    /// Watches one folder; `None`: it is gone by now, which an event of the folder around it has told.
    fn watch(&self, path: &Path) -> Result<Option<i32>, WorkspaceError> {
        let what = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let how = WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW | WatchFlags::EXCL_UNLINK;
        match inotify::add_watch(&self.inotify, path, what | how) {
            Ok(watch) => Ok(Some(watch)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(WorkspaceError::Watch {
                what: path.display().to_string(),
                limit: (errno == Errno::NOSPC).then_some(WatchLimit::Folders),
                source: errno.into(),
            }),
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn unreadable(source: std::io::Error) -> WorkspaceError {
    WorkspaceError::Watch {
        what: "this repository".to_owned(),
        limit: None,
        source,
    }
}
