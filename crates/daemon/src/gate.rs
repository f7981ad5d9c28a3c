//! The gate that every request passes: it knows what is under way, and closes when the daemon is to end.
//!
//! ```text
//! request ──► open? ──► counted until it is answered ──► stream: counted until it ends
//!               └ closed: `shutting_down`, so that whoever asks may ask the next daemon: nothing has happened
//! stop ──► nothing under way, or forced? ──► closed, the socket's name and the announcement gone ──► Cancel
//! ```
//!
//! Deciding that nothing is under way and closing is one step: no request comes in between.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use banger_api::system::{Activity, OpenStream, RunningOperation};
use banger_ops::Cancel;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    stop: Cancel,
}

#[derive(Default)]
struct State {
    closed: bool,
    requests: u64,
    streams: BTreeMap<u64, Stream>,
    next: u64,
    waiting_build: Option<String>,
    names: Option<Names>,
}

struct Stream {
    kind: &'static str,
    of: String,
    since: Instant,
}

/// The names under which the daemon is found.
pub(crate) struct Names {
    socket: PathBuf,
    /// Device and inode of the socket: another daemon may have put its own at this path.
    bound: Option<(u64, u64)>,
    announcement: PathBuf,
}

impl Names {
    /// Of a socket that was bound just now, and of the announcement.
    pub(crate) fn new(socket: PathBuf, announcement: PathBuf) -> Self {
        let bound = fs::symlink_metadata(&socket).ok();
        Self {
            bound: bound.map(|meta| (meta.dev(), meta.ino())),
            socket,
            announcement,
        }
    }

    fn remove(&self) {
        let found = fs::symlink_metadata(&self.socket).ok();
        if self.bound.is_some() && found.map(|meta| (meta.dev(), meta.ino())) == self.bound {
            let _ = fs::remove_file(&self.announcement);
            let _ = fs::remove_file(&self.socket);
        }
    }
}

impl Gate {
    /// Open; `stop` fires when it closes.
    pub(crate) fn new(stop: Cancel) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            stop,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These names go when the gate closes.
    pub(crate) fn known_as(&self, names: Names) {
        self.state().names = Some(names);
    }

    /// Tells whether requests are still taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.state().closed
    }

    /// Lets a request in that changes something. `None`: closed.
    pub(crate) fn request(&self) -> Option<UnderWay> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.requests += 1;
        Some(UnderWay {
            gate: self.clone(),
            what: What::Request,
        })
    }

    /// Counts a stream of a VM or an image from now on.
    pub(crate) fn stream(&self, kind: &'static str, of: &str) -> UnderWay {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let stream = Stream {
            kind,
            of: of.to_owned(),
            since: Instant::now(),
        };
        state.streams.insert(number, stream);
        UnderWay {
            gate: self.clone(),
            what: What::Stream(number),
        }
    }

    /// A newer build asks for this daemon's place.
    pub(crate) fn asked_by(&self, build: &str) {
        let mut state = self.state();
        if state
            .waiting_build
            .as_deref()
            .is_none_or(|known| known < build)
        {
            state.waiting_build = Some(build.to_owned());
        }
    }

    /// The newest build that has asked for this daemon's place.
    pub(crate) fn waiting_build(&self) -> Option<String> {
        self.state().waiting_build.clone()
    }

    /// Tells what is under way, together with these operations.
    pub(crate) fn activity(&self, operations: Vec<RunningOperation>) -> Activity {
        self.state().activity(operations)
    }

    /// Closes the gate if nothing is under way; `operations` lists those that run.
    ///
    /// # Errors
    /// Names what is under way.
    pub(crate) fn close_when_idle(
        &self,
        operations: impl FnOnce() -> Vec<RunningOperation>,
    ) -> Result<(), Activity> {
        let mut state = self.state();
        let activity = state.activity(operations());
        if !state.closed && !activity.is_empty() {
            return Err(activity);
        }
        state.close();
        drop(state);
        self.0.stop.cancel();
        Ok(())
    }

    /// Closes the gate whatever is under way.
    pub(crate) fn close(&self) {
        self.state().close();
        self.0.stop.cancel();
    }
}

impl State {
    fn close(&mut self) {
        self.closed = true;
        // Before anybody hears `shutting_down`: who comes after that finds no name of ours.
        if let Some(names) = self.names.take() {
            names.remove();
        }
    }

    fn activity(&self, operations: Vec<RunningOperation>) -> Activity {
        let streams = self.streams.values().map(|stream| OpenStream {
            kind: stream.kind.to_owned(),
            of: stream.of.clone(),
            open_s: stream.since.elapsed().as_secs(),
        });
        Activity {
            operations,
            streams: streams.collect(),
            requests: self.requests,
        }
    }
}

/// Something that is under way until this is dropped.
pub(crate) struct UnderWay {
    gate: Gate,
    what: What,
}

enum What {
    Request,
    Stream(u64),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        match self.what {
            What::Request => state.requests -= 1,
            What::Stream(number) => {
                state.streams.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_stream_keeps_the_gate_open_and_is_named() {
        let stop = Cancel::new();
        let gate = Gate::new(stop.clone());
        let stream = gate.stream("exec", "lab");
        let activity = gate.close_when_idle(Vec::new).unwrap_err();
        assert_eq!(activity.streams[0].of, "lab");
        assert!(gate.is_open() && !stop.is_cancelled());
        drop(stream);
        gate.close_when_idle(Vec::new).unwrap();
        assert!(!gate.is_open() && stop.is_cancelled());
        assert!(gate.request().is_none());
    }

    #[test]
    fn a_request_that_is_not_answered_yet_counts_and_force_does_not_ask() {
        let gate = Gate::new(Cancel::new());
        let request = gate.request().unwrap();
        assert_eq!(gate.close_when_idle(Vec::new).unwrap_err().requests, 1);
        gate.close();
        assert!(!gate.is_open());
        drop(request);
        assert!(gate.activity(Vec::new()).is_empty());
    }

    #[test]
    fn a_socket_that_another_daemon_has_bound_since_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, announcement) = (folder.path().join("s"), folder.path().join("daemon.json"));
        for theirs in [false, true] {
            fs::write(&socket, "ours").unwrap();
            fs::write(&announcement, "ours").unwrap();
            let gate = Gate::new(Cancel::new());
            gate.known_as(Names::new(socket.clone(), announcement.clone()));
            if theirs {
                fs::write(folder.path().join("new"), "theirs").unwrap();
                fs::rename(folder.path().join("new"), &socket).unwrap();
            }
            gate.close();
            assert_eq!(socket.exists(), theirs);
            assert_eq!(announcement.exists(), theirs);
        }
    }

    #[test]
    fn the_newest_build_that_asked_is_told() {
        let gate = Gate::new(Cancel::new());
        for build in ["2", "3", "1"] {
            gate.asked_by(build);
        }
        assert_eq!(gate.waiting_build().as_deref(), Some("3"));
    }
}
