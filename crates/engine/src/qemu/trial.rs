//! A trial start of QEMU: it makes a machine with the accelerator and the network of VMs, and ends before the guest runs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::Accel;
use crate::text::printable;

/// Longest time of a trial.
const DEADLINE: Duration = Duration::from_secs(10);

/// Starts QEMU with `accel`, stopped, and lets it quit.
///
/// # Errors
/// The last line that it said, or that it did not end.
pub(super) fn trial(program: &Path, accel: Accel) -> Result<(), String> {
    let mut child = Command::new(program)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-S"])
        .args(["-machine", "q35", "-accel", &accel.to_string(), "-m", "64M"])
        .args(["-netdev", "user,id=trial", "-monitor", "stdio"])
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    if let Some(mut monitor) = child.stdin.take() {
        // One that has ended already says why on its standard error.
        let _ = monitor.write_all(b"quit\n");
    }
    if !ends(&child, DEADLINE) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("it did not end within {} s", DEADLINE.as_secs()));
    }
    let ended = child
        .wait_with_output()
        .map_err(|error| format!("its end cannot be seen: {error}"))?;
    match ended.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&ended.stderr);
            let line = said.lines().rfind(|line| !line.trim().is_empty());
            Err(line.map_or_else(|| ended.status.to_string(), printable))
        }
    }
}

/// A pidfd becomes readable when its process ends (pidfd_open(2)).
fn ends(child: &Child, within: Duration) -> bool {
    let Ok(process) = pidfd_open(Pid::from_child(child), PidfdFlags::empty()) else {
        return false;
    };
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            Ok(ended) => return ended > 0,
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qemu");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    #[test]
    fn what_a_program_says_last_is_the_cause() {
        let folder = program("#!/bin/sh\necho first >&2\necho 'no such accelerator' >&2\nexit 1\n");
        let tried = trial(&folder.path().join("qemu"), Accel::Tcg);
        assert_eq!(tried, Err("no such accelerator".to_owned()));
    }

    #[test]
    fn one_that_reads_its_monitor_and_quits_is_fine() {
        let folder = program("#!/bin/sh\nread word; test \"$word\" = quit\n");
        assert_eq!(trial(&folder.path().join("qemu"), Accel::Tcg), Ok(()));
        let absent = trial(&folder.path().join("absent"), Accel::Tcg).unwrap_err();
        assert!(absent.contains("cannot be run"), "{absent}");
    }
}
