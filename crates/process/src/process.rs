//! A process held by a pidfd: opened first, compared second, so that a reused pid is never taken for ours.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::proc::{self, Observed};
use crate::{Identity, ProcessError, Program};

/// The process that has the pid of an identity now.
#[derive(Debug)]
pub enum Found {
    /// That very process, alive when it was looked at.
    Ours(Process),
    /// No process, or a zombie.
    Gone,
    /// Another process.
    Other {
        /// The first difference.
        difference: String,
    },
}

/// A live process that was compared with its identity, or has just been started.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    fd: OwnedFd,
}

impl Process {
    /// Opens the process of `id` and compares everything that can be known of it without asking it.
    ///
    /// # Errors
    /// The process may not be looked at, or `/proc` does not tell.
    pub fn open(id: &Identity, program: &Program) -> Result<Found, ProcessError> {
        if proc::boot_id()? != id.boot_id {
            return Ok(Found::Gone);
        }
        let Some(process) = Self::of_pid(id.pid)? else {
            return Ok(Found::Gone);
        };
        let Some(seen) = proc::observe(id.pid)? else {
            return Ok(Found::Gone);
        };
        let difference = difference(id, &seen, program);
        // It may have ended, and its pid may have been given away, between the open and the look: the pidfd knows.
        if process.has_ended(Duration::ZERO)? {
            return Ok(Found::Gone);
        }
        Ok(match difference {
            None => Found::Ours(process),
            Some(difference) => Found::Other { difference },
        })
    }

    /// Opens the process of `id`, which must be alive.
    ///
    /// # Errors
    /// [`ProcessError::Gone`], [`ProcessError::NotOurs`] with the first difference, and those of [`Process::open`].
    pub fn open_living(id: &Identity, program: &Program) -> Result<Self, ProcessError> {
        match Self::open(id, program)? {
            Found::Ours(process) => Ok(process),
            Found::Gone => Err(ProcessError::Gone { pid: id.pid }),
            Found::Other { difference } => Err(ProcessError::NotOurs {
                pid: id.pid,
                difference,
            }),
        }
    }

    /// Opens the process that has this pid; `None` when there is none. Only for a child that is not reaped yet: its pid
    /// is its own.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn of_pid(pid: u32) -> Result<Option<Self>, ProcessError> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(raw) = raw else { return Ok(None) };
        match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { pid, fd })),
            Err(Errno::SRCH) => Ok(None),
            Err(e) => Err(ProcessError::io(format!("open process {pid}"))(e)),
        }
    }

    /// Waits until it has ended (a zombie has ended); `false` at the deadline.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn has_ended(&self, within: Duration) -> Result<bool, ProcessError> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(e) => return Err(ProcessError::io(format!("watch process {}", self.pid))(e)),
            }
        }
    }

    /// Sends a signal; `false` when it has ended and been reaped.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<bool, ProcessError> {
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(e) => Err(ProcessError::io(format!("signal process {}", self.pid))(e)),
        }
    }

    /// Kills it and waits for its end; `false` when it still lives at the deadline. One that is stopped ends as well.
    ///
    /// # Errors
    /// Those of [`Process::signal`] and [`Process::has_ended`].
    pub fn end(&self, within: Duration) -> Result<bool, ProcessError> {
        self.signal(Signal::KILL)?;
        self.has_ended(within)
    }
}

fn difference(id: &Identity, seen: &Observed, program: &Program) -> Option<String> {
    let Identity {
        start_ticks,
        exe,
        token,
        ..
    } = id;
    if seen.start_ticks != *start_ticks {
        let now = seen.start_ticks;
        return Some(format!("it started at tick {now}, not {start_ticks}"));
    }
    if seen.exe != *exe {
        let now = seen.exe.display();
        return Some(format!("it runs {now}, not {}", exe.display()));
    }
    let carries = |arg: &std::ffi::OsString| (program.token_of)(arg) == Some(token.as_str());
    if !seen.args.iter().any(carries) {
        return Some(format!("its command line lacks the token {token}"));
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn impossible_pids_are_no_process() {
        for pid in [0, 5_000_000, u32::MAX] {
            assert!(Process::of_pid(pid).unwrap().is_none(), "{pid}");
        }
    }
}
