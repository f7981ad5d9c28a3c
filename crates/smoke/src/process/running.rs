//! A running command: its output so far, signals, and the wait for its end.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::Finished;
use super::capture::Capture;
use crate::step::note;

/// Longest time that output may stay open after the command has ended: a process that still holds it was left behind.
const OUTPUT_AFTER_END: Duration = Duration::from_secs(3);
/// Time for a command to end by itself after its deadline and SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// A started command. Dropping it ends it and its whole group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    shown: String,
    started: Instant,
    deadline: Duration,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
    reaped: bool,
}

impl Running {
    pub(super) fn of(
        mut child: Child,
        shown: String,
        started: Instant,
        deadline: Duration,
    ) -> Self {
        let stdout = child.stdout.take().map(Capture::of);
        let stderr = child.stderr.take().map(Capture::of);
        Self {
            child,
            shown,
            started,
            deadline,
            stdout,
            stderr,
            reaped: false,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to its process group, as a terminal would.
    ///
    /// # Panics
    /// Panics when the group is gone.
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.pid(), signal) {
            panic!("cannot signal {}: {error}", self.shown);
        }
    }

    /// Standard error so far.
    pub fn stderr_so_far(&self) -> String {
        self.stderr
            .as_ref()
            .map(|stream| text(&stream.so_far()))
            .unwrap_or_default()
    }

    /// Standard output so far.
    pub fn stdout_so_far(&self) -> String {
        self.stdout
            .as_ref()
            .map(|stream| text(&stream.so_far()))
            .unwrap_or_default()
    }

    /// Waits until standard error contains `text`.
    ///
    /// # Panics
    /// Panics when it does not appear before the deadline.
    pub fn wait_for_stderr(&self, wanted: &str) {
        let seen = self
            .stderr
            .as_ref()
            .is_some_and(|stream| stream.wait_for(wanted, 0, self.due()).is_some());
        assert!(
            seen,
            "{}: standard error never said {wanted:?}; it said:\n{}",
            self.shown,
            self.stderr_so_far()
        );
    }

    /// Waits until standard output contains `text`.
    ///
    /// # Panics
    /// Panics when it does not appear before the deadline.
    pub fn wait_for_stdout(&self, wanted: &str) {
        let seen = self
            .stdout
            .as_ref()
            .is_some_and(|stream| stream.wait_for(wanted, 0, self.due()).is_some());
        assert!(
            seen,
            "{}: standard output never said {wanted:?}; it said:\n{}\nstandard error:\n{}",
            self.shown,
            self.stdout_so_far(),
            self.stderr_so_far()
        );
    }

    fn due(&self) -> Instant {
        self.started + self.deadline
    }

    /// Waits for the command's end, at most until its deadline.
    ///
    /// # Panics
    /// Panics when the deadline passes (the whole group is ended first), or when a process that outlives the command
    /// holds its output open.
    pub fn wait(mut self) -> Finished {
        let in_time = ends_before(self.pid(), self.due());
        if !in_time {
            self.end_group();
        }
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => panic!("cannot wait for {}: {error}", self.shown),
        };
        self.reaped = true;
        let took = self.started.elapsed();
        let due = Instant::now() + OUTPUT_AFTER_END;
        let released = [&self.stdout, &self.stderr]
            .into_iter()
            .flatten()
            .all(|stream| stream.closes_before(due));
        let finished = Finished {
            shown: self.shown.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: self
                .stdout
                .as_ref()
                .map(Capture::so_far)
                .unwrap_or_default(),
            stderr: self
                .stderr
                .as_ref()
                .map(Capture::so_far)
                .unwrap_or_default(),
            took,
        };
        assert!(
            in_time,
            "did not end within {:?}: {finished}",
            self.deadline
        );
        assert!(
            released,
            "something that outlives the command holds its output open: {finished}"
        );
        note(&format!(
            "  {} in {:.2} s",
            finished.ending(),
            took.as_secs_f64()
        ));
        finished
    }

    fn end_group(&self) {
        let pid = self.pid();
        // The group may be gone between the check and the signal: then there is nothing to end.
        let _ = kill_process_group(pid, Signal::TERM);
        if !ends_before(pid, Instant::now() + GRACE) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.end_group();
            let _ = self.child.wait();
        }
    }
}

/// Waits on a pidfd, which becomes readable when the process ends (pidfd_open(2)).
pub(crate) fn ends_before(pid: Pid, due: Instant) -> bool {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        // The process is gone.
        return true;
    };
    loop {
        let Some(left) = due.checked_duration_since(Instant::now()) else {
            return false;
        };
        let timeout = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(1..) => return true,
            Ok(0) => return false,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("cannot wait for process {pid:?}: {error}"),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
