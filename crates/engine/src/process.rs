//! A VMM's process held by a pidfd: opened first, compared second, so that a reused pid is never taken for ours.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::proc::{self, Observed};
use crate::{EngineError, VmmIdentity};

/// What the pid of an identity is now.
#[derive(Debug)]
pub(crate) enum Found {
    /// That very process, alive when it was looked at.
    Ours(VmmProcess),
    /// No process, or a zombie.
    Gone,
    /// Another process.
    Other {
        /// The first difference.
        difference: String,
    },
}

/// A live process that was compared with its identity.
#[derive(Debug)]
pub(crate) struct VmmProcess {
    pid: u32,
    fd: OwnedFd,
}

/// Opens the process of `id` and compares everything that can be known of it without asking it.
/// `is_launch` tells whether one argument of a command line carries the launch token.
pub(crate) fn open(
    id: &VmmIdentity,
    is_launch: impl Fn(&OsStr, &str) -> bool,
) -> Result<Found, EngineError> {
    let boot = proc::boot_id()?;
    if boot != id.boot_id {
        return Ok(Found::Gone);
    }
    let Some(process) = VmmProcess::open(id.pid)? else {
        return Ok(Found::Gone);
    };
    let Some(seen) = proc::observe(id.pid)? else {
        return Ok(Found::Gone);
    };
    let difference = difference(id, &seen, is_launch);
    // It may have ended, and its pid may have been given away, between the open and the look: the pidfd knows.
    if process.has_ended(Duration::ZERO)? {
        return Ok(Found::Gone);
    }
    Ok(match difference {
        None => Found::Ours(process),
        Some(difference) => Found::Other { difference },
    })
}

fn difference(
    id: &VmmIdentity,
    seen: &Observed,
    is_launch: impl Fn(&OsStr, &str) -> bool,
) -> Option<String> {
    if seen.start_ticks != id.start_ticks {
        return Some(format!(
            "it started at tick {}, not {}",
            seen.start_ticks, id.start_ticks
        ));
    }
    if seen.exe != id.exe {
        return Some(format!(
            "it runs {}, not {}",
            seen.exe.display(),
            id.exe.display()
        ));
    }
    if !seen.args.iter().any(|arg| is_launch(arg, &id.launch_token)) {
        return Some(format!(
            "its command line lacks the token {}",
            id.launch_token
        ));
    }
    None
}

impl VmmProcess {
    /// Opens whatever process has this pid; `None` when there is none.
    pub(crate) fn open(pid: u32) -> Result<Option<Self>, EngineError> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(raw) = raw else { return Ok(None) };
        match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { pid, fd })),
            Err(Errno::SRCH) => Ok(None),
            Err(e) => Err(EngineError::io(format!("open process {pid}"))(e)),
        }
    }

    /// Waits until it has ended (as a zombie too); `false` at the deadline.
    pub(crate) fn has_ended(&self, within: Duration) -> Result<bool, EngineError> {
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
                Err(e) => return Err(EngineError::io(format!("watch process {}", self.pid))(e)),
            }
        }
    }

    /// Sends a signal; `false` when it has ended and been reaped.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool, EngineError> {
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(e) => Err(EngineError::io(format!("signal process {}", self.pid))(e)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    const TOKEN: &str = "0123456789";

    /// A child of a real program with the token as an argument, killed when the test ends.
    struct Victim(Child);
    impl Victim {
        fn start() -> (Self, VmmIdentity) {
            let mut child = Command::new("sh")
                .args(["-c", "echo; read line", TOKEN])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // Its first output: only then is exec surely over and the command line its own.
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            let seen = proc::observe(child.id()).unwrap().unwrap();
            let id = VmmIdentity {
                pid: child.id(),
                start_ticks: seen.start_ticks,
                boot_id: proc::boot_id().unwrap(),
                exe: seen.exe,
                launch_token: TOKEN.to_owned(),
                control_socket: PathBuf::from("/nonexistent/control"),
                channel_socket: PathBuf::from("/nonexistent/channel"),
                console_log: PathBuf::from("/nonexistent/console"),
            };
            (Self(child), id)
        }
    }
    impl Drop for Victim {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn is_token(arg: &OsStr, token: &str) -> bool {
        arg == token
    }

    fn other(id: &VmmIdentity) -> String {
        match open(id, is_token).unwrap() {
            Found::Other { difference } => difference,
            found => panic!("{found:?}"),
        }
    }

    #[test]
    fn the_process_that_was_started_is_ours() {
        let (_victim, id) = Victim::start();
        assert!(matches!(open(&id, is_token).unwrap(), Found::Ours(_)));
    }

    #[test]
    fn another_start_time_executable_or_token_is_another_process() {
        let (_victim, id) = Victim::start();
        let later = VmmIdentity {
            start_ticks: id.start_ticks + 1,
            ..id.clone()
        };
        assert!(other(&later).contains("started at tick"));
        let exe = VmmIdentity {
            exe: "/bin/other".into(),
            ..id.clone()
        };
        assert!(other(&exe).contains("not /bin/other"));
        let token = VmmIdentity {
            launch_token: "another-one".into(),
            ..id
        };
        assert!(other(&token).contains("lacks the token another-one"));
    }

    #[test]
    fn a_process_of_an_earlier_boot_is_gone_whoever_has_its_pid_now() {
        let (_victim, id) = Victim::start();
        let id = VmmIdentity {
            boot_id: "00000000-0000-0000-0000-000000000000".into(),
            ..id
        };
        assert!(matches!(open(&id, is_token).unwrap(), Found::Gone));
    }

    #[test]
    fn a_killed_process_is_seen_to_end_and_then_takes_no_signal() {
        let (mut victim, id) = Victim::start();
        let Found::Ours(process) = open(&id, is_token).unwrap() else {
            panic!()
        };
        assert!(!process.has_ended(Duration::ZERO).unwrap());
        assert!(process.signal(Signal::KILL).unwrap());
        assert!(process.has_ended(Duration::from_secs(10)).unwrap());
        assert!(
            matches!(open(&id, is_token).unwrap(), Found::Gone),
            "a zombie is gone"
        );
        victim.0.wait().unwrap();
        assert!(!process.signal(Signal::KILL).unwrap());
    }

    #[test]
    fn impossible_pids_are_no_process() {
        for pid in [0, 5_000_000, u32::MAX] {
            assert!(VmmProcess::open(pid).unwrap().is_none(), "{pid}");
        }
    }
}
