//! Ending a guest whose PID 1 is the image's init: each init is told as it wants to be told.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use banger_guest::ShutdownMode;
use rustix::process::{Pid, kill_process};

use crate::sys;

/// `SIGRTMIN+4` and `+5`: `poweroff.target` and `reboot.target` (systemd(1)).
const SYSTEMD: [u8; 2] = [38, 39];
/// `SIGUSR2` and `SIGTERM` (busybox's init/init.c). Images need no link called `poweroff` for it.
const BUSYBOX: [u8; 2] = [12, 15];

/// Ways to tell an init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a signal to PID 1.
    Signal(u8),
    /// By the first of these programs that is there, with its arguments.
    Program(&'static [&'static [&'static str]]),
}

/// Ways that `init`, the file name of the program that PID 1 runs, understands.
fn way(init: &str, mode: ShutdownMode) -> Way {
    let reboot = mode == ShutdownMode::Reboot;
    match init {
        "systemd" => Way::Signal(SYSTEMD[usize::from(reboot)]),
        "busybox" => Way::Signal(BUSYBOX[usize::from(reboot)]),
        // openrc-shutdown(8)
        "openrc-init" if reboot => Way::Program(&[&["/sbin/openrc-shutdown", "--reboot", "now"]]),
        "openrc-init" => Way::Program(&[&["/sbin/openrc-shutdown", "--poweroff", "now"]]),
        // What inits of all kinds have brought with them since System V.
        _ if reboot => Way::Program(&[
            &["/sbin/reboot"],
            &["/usr/sbin/reboot"],
            &["/usr/bin/reboot"],
            &["/sbin/shutdown", "-r", "now"],
        ]),
        _ => Way::Program(&[
            &["/sbin/poweroff"],
            &["/usr/sbin/poweroff"],
            &["/usr/bin/poweroff"],
            &["/sbin/shutdown", "-h", "now"],
        ]),
    }
}

/// Tells PID 1 to end the guest. It takes its time for that; this does not wait.
///
/// # Errors
/// PID 1 is not told: its program has none to do so, or that one fails.
pub fn tell_init(mode: ShutdownMode) -> io::Result<()> {
    let program = std::fs::read_link("/proc/1/exe")?;
    let init = program
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // An upgrade in the guest replaced the file.
    match way(init.trim_end_matches(" (deleted)"), mode) {
        Way::Signal(number) => {
            let signal =
                sys::signal(number).ok_or_else(|| io::Error::other("there is no such signal"))?;
            Ok(kill_process(Pid::INIT, signal)?)
        }
        Way::Program(choices) => {
            let there = choices.iter().find(|words| Path::new(words[0]).exists());
            match there {
                Some(words) => run(words),
                None => Err(io::Error::other(format!(
                    "{} has no {}",
                    program.display(),
                    choices[0][0]
                ))),
            }
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = command.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{}: {status}", words[0]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_init_is_told_in_its_own_way() {
        let first = |init, mode| match way(init, mode) {
            Way::Signal(number) => number.to_string(),
            Way::Program(choices) => choices[0].join(" "),
        };
        for (init, poweroff, reboot) in [
            ("systemd", "38", "39"),
            ("busybox", "12", "15"),
            (
                "openrc-init",
                "/sbin/openrc-shutdown --poweroff now",
                "/sbin/openrc-shutdown --reboot now",
            ),
            ("init", "/sbin/poweroff", "/sbin/reboot"),
            ("runit", "/sbin/poweroff", "/sbin/reboot"),
            ("", "/sbin/poweroff", "/sbin/reboot"),
        ] {
            assert_eq!(first(init, ShutdownMode::Poweroff), poweroff, "{init}");
            assert_eq!(first(init, ShutdownMode::Reboot), reboot, "{init}");
        }
    }
}
