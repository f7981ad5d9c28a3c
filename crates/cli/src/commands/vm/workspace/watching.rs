//! `banger vm workspace prepare --watch`: what changes here goes into the guest, until the user ends it.
//!
//! ```text
//! watcher ─► changed ─► settle: quiet for 25 ms, git's lock is gone ─► survey ─► follow ─► Outgoing::follow_up ─► a line
//!    ▲                                                                                             │
//!    └────── held back: the guest changed the same files. The next change here tries again ◄───────┘
//! ```
//!
//! A failure is tried again, for git may be in the middle of something; the third in a row ends the command.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use banger_api::vm::Vm;
use banger_api::{ApiError, ErrorCode};
use banger_workspace::{RepoPath, Seen, Survey, Wanted, Watcher, WorkspaceError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::context::Context;
use crate::failure::{Failure, Outcome, host_error};
use crate::signals::Interrupts;
use crate::view::watching::{Entry, Event};
use crate::workspace::{Done, Outgoing, Updated, failure, own};

/// Quiet that ends a burst of changes.
const QUIET: Duration = Duration::from_millis(25);
/// Longest wait for it: what goes on for longer is sent in parts.
const BURST: Duration = Duration::from_millis(400);
/// Longest wait for git's lock: one that a git has left behind must not stop everything.
const LOCKED: Duration = Duration::from_secs(10);
/// Waits before a failed batch is tried again.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(2)];
/// Surveys in a row that each found folders to watch, at most.
const MAX_ROUNDS: usize = 8;

/// A workspace that follows the host.
pub(super) struct Watching<'a> {
    vm: &'a Vm,
    /// The workspace's name, when it is another than the repository's.
    name: Option<String>,
    guest_path: String,
    top: PathBuf,
    wanted: Wanted,
    watcher: Arc<Mutex<Watcher>>,
    seen: mpsc::Receiver<Result<Seen, WorkspaceError>>,
    survey: Arc<Survey>,
    /// Files that the guest changed, too: told once.
    held_back: Vec<RepoPath>,
    /// No batch begins before: the host's git is busy for half of the time at most.
    rest: Instant,
    context: &'a Context,
}

impl<'a> Watching<'a> {
    /// Of a workspace that is in the guest.
    ///
    /// # Errors
    /// Its folders cannot be watched.
    pub(super) fn new(
        vm: &'a Vm,
        survey: Arc<Survey>,
        name: Option<String>,
        context: &'a Context,
    ) -> Result<Self, Failure> {
        let watcher = Watcher::new().map_err(|error| failure(&error))?;
        let watcher = Arc::new(Mutex::new(watcher));
        let seen = listen(Arc::clone(&watcher))
            .map_err(|error| Failure::from(host_error("cannot wait for changes", &error)))?;
        let guest_path = Outgoing::new(Arc::clone(&survey), name.as_deref())?
            .dest()
            .to_owned();
        Ok(Self {
            vm,
            name,
            guest_path,
            top: survey.top().repository.top().to_owned(),
            wanted: survey.wanted.clone(),
            watcher,
            seen,
            survey,
            held_back: Vec::new(),
            rest: Instant::now(),
            context,
        })
    }

    /// Follows the host. An interrupt ends it: between two batches at once, in one after it; a second one at once.
    ///
    /// # Errors
    /// The host or the guest fails for good.
    pub(super) async fn run(mut self, interrupts: &mut Interrupts) -> Outcome {
        // What changed between the first sending and the first watch is found now.
        let mut since = Instant::now();
        let mut is_told = false;
        loop {
            if finished(self.batch(since), interrupts).await? {
                return Ok(0);
            }
            if !is_told {
                is_told = true;
                let folders = self.watcher().folders();
                self.say(&Event::Watching { folders })?;
            }
            since = tokio::select! {
                changed = self.changed() => changed?,
                _ = interrupts.next() => return Ok(0),
            };
        }
    }

    fn say(&self, event: &Event) -> Result<(), Failure> {
        let guest_path = &self.guest_path;
        self.context
            .output
            .entry(&Entry::of(self.vm, guest_path, event))
    }

    /// Waits until something changed and the burst is over. Answers when it began.
    async fn changed(&mut self) -> Result<Instant, Failure> {
        self.events().await?;
        let began = Instant::now();
        let rest = self.rest;
        loop {
            let next = timeout(QUIET, self.events()).await;
            let seen = next.unwrap_or(Ok(Seen::Nothing))?;
            let locked = self.survey.is_locked() && began.elapsed() < LOCKED;
            let burst = seen != Seen::Nothing && began.elapsed() < BURST;
            if !locked && !burst {
                break;
            }
        }
        while let Ok(seen) = timeout_at(rest, self.events()).await {
            seen?;
        }
        Ok(began)
    }

    /// Waits for events that may change what is sent.
    async fn events(&mut self) -> Result<Seen, Failure> {
        // The other end is there until it has told its error.
        let Some(seen) = self.seen.recv().await else {
            return std::future::pending().await;
        };
        let seen = seen.map_err(|error| failure(&error))?;
        if seen == Seen::Overflowed {
            let told = "more changed at once than the kernel's queue holds: everything is compared";
            self.context.output.note(told);
        }
        Ok(seen)
    }

    fn watcher(&self) -> MutexGuard<'_, Watcher> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the guest up to date, and says so.
    async fn batch(&mut self, since: Instant) -> Result<(), Failure> {
        let mut again = AGAIN.into_iter();
        loop {
            let began = Instant::now();
            let failed = match self.bring(since).await {
                Ok(()) => {
                    self.rest = Instant::now() + began.elapsed().min(BURST);
                    return Ok(());
                }
                Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
                Err(failed) => failed,
            };
            let Some(wait) = again.next() else {
                return Err(failed);
            };
            sleep(wait).await;
        }
    }

    async fn bring(&mut self, since: Instant) -> Result<(), Failure> {
        self.look().await?;
        let mut outgoing = Outgoing::new(Arc::clone(&self.survey), self.name.as_deref())?;
        let vm = self.vm.id.to_string();
        match outgoing.follow_up(&vm, self.context).await? {
            Updated::Sent(sent) => {
                self.held_back.clear();
                if sent.done.is_none() {
                    return Ok(());
                }
                let took = since.elapsed();
                own(self.vm, &sent, self.context).await?;
                self.say(&Event::Sent(&sent, took, Done::default()))
            }
            Updated::HeldBack(files) if files == self.held_back => Ok(()),
            Updated::HeldBack(files) => {
                self.say(&Event::HeldBack(&files))?;
                self.held_back = files;
                Ok(())
            }
        }
    }

    /// Takes a survey after the last new watch was set, so that nothing is missed.
    async fn look(&mut self) -> Result<(), Failure> {
        for _ in 0..MAX_ROUNDS {
            let (top, wanted) = (self.top.clone(), self.wanted.clone());
            let taking = tokio::task::spawn_blocking(move || Survey::take(&top, wanted));
            let survey = taking.await.map_err(|panic| {
                Failure::from(ApiError::new(ErrorCode::Internal, panic.to_string()))
            })?;
            self.survey = Arc::new(survey.map_err(|error| failure(&error))?);
            let followed = self.watcher().follow(&self.survey);
            if !followed.map_err(|error| failure(&error))? {
                break;
            }
        }
        Ok(())
    }
}

/// Lets a batch come to its end. True when the user wants no more; a second interrupt does not wait.
async fn finished(
    batch: impl Future<Output = Result<(), Failure>>,
    interrupts: &mut Interrupts,
) -> Result<bool, Failure> {
    tokio::pin!(batch);
    tokio::select! {
        done = &mut batch => return done.map(|()| false),
        _ = interrupts.next() => {}
    }
    tokio::select! {
        done = &mut batch => done.map(|()| true),
        _ = interrupts.next() => Ok(true),
    }
}

/// Reads events on a thread of their own, which lives as long as the process. Two are under way at most: the kernel
/// keeps the others.
fn listen(
    watcher: Arc<Mutex<Watcher>>,
) -> io::Result<mpsc::Receiver<Result<Seen, WorkspaceError>>> {
    let (tell, seen) = mpsc::channel(1);
    let lock = |watcher: &Mutex<Watcher>| {
        let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.seen()
    };
    let events = {
        let watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.as_fd().try_clone_to_owned()?
    };
    let read = move || {
        loop {
            // Any other error is told by reading.
            if poll(&mut [PollFd::new(&events, PollFlags::IN)], None) == Err(Errno::INTR) {
                continue;
            }
            let seen = lock(&watcher);
            let is_over = seen.is_err();
            let is_news = !matches!(seen, Ok(Seen::Nothing));
            if (is_news && tell.blocking_send(seen).is_err()) || is_over {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("changes".to_owned())
        .spawn(read)?;
    Ok(seen)
}
