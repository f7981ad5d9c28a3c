//! `reboot`, `poweroff`, `halt` and `shutdown` for guests whose PID 1 is ours: each is a signal to PID 1, as busybox has it.
//!
//! ```text
//!  /sbin/reboot ─► /run/banger/agent, by that name ─► SIGTERM to PID 1 ─► everything ends, the kernel restarts
//! ```
//!
//! Must not: schedule anything. A guest without an init has nobody who would keep an appointment.

use std::process::ExitCode;

use banger_guest::ShutdownMode;
use rustix::process::{Pid, Signal, kill_process};

/// Names by which this program ends the guest.
pub const NAMES: [&str; 4] = ["reboot", "poweroff", "halt", "shutdown"];
/// Signals that PID 1 takes for orders, with what they order (busybox, init/init.c). `SIGINT` is what the kernel sends for
/// Ctrl-Alt-Del. A halted VM would keep its memory for nothing: it is powered off.
pub const SIGNALS: [(Signal, ShutdownMode); 4] = [
    (Signal::USR1, ShutdownMode::Poweroff),
    (Signal::USR2, ShutdownMode::Poweroff),
    (Signal::TERM, ShutdownMode::Reboot),
    (Signal::INT, ShutdownMode::Reboot),
];

/// The name by which this program was called, when it is one that ends the guest.
#[must_use]
pub fn called_as(name: &str) -> Option<&'static str> {
    let name = name.rsplit('/').next()?;
    NAMES.into_iter().find(|known| *known == name)
}

/// Does what the name and the arguments say.
pub fn main(name: &str, arguments: &[String]) -> ExitCode {
    let told = parse(name, arguments).and_then(|mode| {
        let signal = match mode {
            ShutdownMode::Poweroff => Signal::USR2,
            ShutdownMode::Reboot => Signal::TERM,
        };
        kill_process(Pid::INIT, signal).map_err(|error| match error {
            rustix::io::Errno::PERM => "only root may do that".to_owned(),
            other => format!("cannot tell PID 1: {other}"),
        })
    });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprint(name, &why);
            ExitCode::FAILURE
        }
    }
}

/// The order in a command line, as systemd's and busybox's programs of these names understand it.
fn parse(name: &str, arguments: &[String]) -> Result<ShutdownMode, String> {
    let mut mode = match name {
        "reboot" => ShutdownMode::Reboot,
        _ => ShutdownMode::Poweroff,
    };
    let (flags, words): (Vec<&String>, Vec<&String>) = arguments
        .iter()
        .partition(|argument| argument.starts_with('-'));
    for flag in flags {
        match flag.as_str() {
            "-r" | "--reboot" => mode = ShutdownMode::Reboot,
            "-p" | "-P" | "-h" | "-H" | "--poweroff" | "--halt" => mode = ShutdownMode::Poweroff,
            // How thoroughly, and who is told: the disks are always written, and there is nobody else.
            "-f" | "--force" | "-ff" | "-n" | "--no-sync" | "-d" | "--no-wtmp" | "--no-wall" => {}
            other => return Err(format!("\"{other}\" is not known in this guest")),
        }
    }
    match (name, words.first().map(|word| word.as_str())) {
        ("shutdown", Some("now" | "+0")) => Ok(mode),
        ("shutdown", _) => Err(
            "only \"now\" is known in this guest, as it has no init: shutdown -h now".to_owned(),
        ),
        (_, None) => Ok(mode),
        (_, Some(word)) => Err(format!("\"{word}\" is not known in this guest")),
    }
}

/// Says why, to whoever called this by hand.
#[allow(clippy::print_stderr)] // a program of its own here
fn eprint(name: &str, why: &str) {
    eprintln!("{name}: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<ShutdownMode, String> {
        let mut words = line.split(' ');
        let name = called_as(words.next().unwrap()).unwrap();
        parse(name, &words.map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_usual_command_lines_are_understood() {
        for line in [
            "/sbin/reboot",
            "reboot -f",
            "halt --reboot",
            "shutdown -r now",
        ] {
            assert_eq!(parsed(line), Ok(ShutdownMode::Reboot), "{line}");
        }
        for line in [
            "poweroff",
            "halt",
            "halt -p",
            "reboot -p",
            "poweroff -f",
            "shutdown -h now",
            "shutdown now bye",
            "shutdown -P +0",
        ] {
            assert_eq!(parsed(line), Ok(ShutdownMode::Poweroff), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_ends_nothing() {
        for line in [
            "shutdown",
            "shutdown +5",
            "shutdown -c",
            "reboot --help",
            "halt 3",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert_eq!(called_as("/usr/bin/rebooter"), None);
        assert_eq!(called_as(""), None);
    }
}
