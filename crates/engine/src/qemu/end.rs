//! Cause of a QEMU's end, from the files that it and its guest left.
//!
//! A second monitor has no reader: it writes its events into a file of the VM's folder. So the cause is known even if
//! no process was connected, and after the process that started QEMU is gone.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use serde_json::Value;

use super::files;
use crate::text::{printable, tail};
use crate::{EngineError, ExitCause, LaunchToken, VmmIdentity};

/// Bytes of each record that are read.
const TAIL_BYTES: u64 = 64 * 1024;
/// Text that Linux prints before a panic's message (`kernel/panic.c`).
const PANIC: &str = "Kernel panic - not syncing: ";

/// Records of one launch after its end.
#[derive(Debug, Default)]
pub(super) struct Remains {
    pub events: Vec<u8>,
    pub log: Vec<u8>,
    pub console: Vec<u8>,
    pub status: Option<ExitStatus>,
}

/// Reads the remains of a launch; `None` if another launch has used its folder since.
pub(super) fn remains(
    id: &VmmIdentity,
    status: Option<ExitStatus>,
) -> Result<Option<Remains>, EngineError> {
    let dir = id.dir();
    if read(&dir.join(files::LAUNCH))? != id.launch_token.as_str().as_bytes() {
        return Ok(None);
    }
    let console = read(&id.console_log)?;
    let console = since_launch(&console, &id.launch_token).to_vec();
    let events = read(&dir.join(files::EVENTS_OUT))?;
    let log = read(&dir.join(files::LOG))?;
    Ok(Some(Remains {
        events,
        log,
        console,
        status,
    }))
}

/// Tells whether the event monitor in this folder has accepted its negotiation: from then on it writes events.
pub(super) fn is_recording(dir: &Path) -> Result<bool, EngineError> {
    let events = read(&dir.join(files::EVENTS_OUT))?;
    let mut answers = events
        .split(|byte| *byte == b'\n')
        .map(serde_json::from_slice::<Value>);
    Ok(answers.any(|answer| answer.is_ok_and(|answer| answer.get("return").is_some())))
}

/// Tells whether the VMM in this folder has run its guest and recorded the guest's end.
pub(super) fn is_recorded(dir: &Path) -> Result<bool, EngineError> {
    Ok(shutdown_reason(&read(&dir.join(files::EVENTS_OUT))?).is_some())
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    tail(path, TAIL_BYTES).map_err(EngineError::io(format!("read {}", path.display())))
}

/// The line that separates launches in the console's log: people read its time, we search for its token.
pub(super) fn console_mark(launch_token: &LaunchToken, at: jiff::Timestamp) -> String {
    format!("--- started at {at:.0} as {}", mark_end(launch_token))
}

/// End of the line. Older builds wrote `--- ` before it, and no time.
fn mark_end(launch_token: &LaunchToken) -> String {
    format!("launch {launch_token} ---\r\n")
}

fn since_launch<'a>(console: &'a [u8], launch_token: &LaunchToken) -> &'a [u8] {
    let end = mark_end(launch_token);
    let found = console
        .windows(end.len())
        .rposition(|window| window == end.as_bytes());
    found.map_or(console, |at| &console[at + end.len()..])
}

/// The cause, as far as the remains show it.
pub(super) fn cause(remains: &Remains) -> ExitCause {
    let reason = shutdown_reason(&remains.events);
    match reason.as_deref() {
        Some("guest-shutdown") => ExitCause::GuestShutdown,
        Some("guest-reset" | "guest-panic" | "subsystem-reset") => {
            match panic_message(&remains.console) {
                Some(message) => ExitCause::GuestPanic { message },
                None => ExitCause::GuestReset,
            }
        }
        Some("host-qmp-quit") => ExitCause::HostQuit,
        Some("host-signal") => ExitCause::HostSignal {
            signal: terminating_signal(&remains.log),
        },
        Some(other) => ExitCause::Failed {
            message: printable(other),
        },
        None => unrecorded(remains),
    }
}

fn unrecorded(remains: &Remains) -> ExitCause {
    if let Some(signal) = remains.status.and_then(|status| status.signal()) {
        return ExitCause::Killed { signal };
    }
    let message = log_message(&remains.log);
    if message.is_empty() {
        ExitCause::Vanished
    } else {
        ExitCause::Failed { message }
    }
}

/// The reason in the last `SHUTDOWN` event (QEMU `qapi/run-state.json`, `ShutdownCause`).
fn shutdown_reason(events: &[u8]) -> Option<String> {
    events.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let event: Value = serde_json::from_slice(line).ok()?;
        if event.get("event")? != "SHUTDOWN" {
            return None;
        }
        Some(event.get("data")?.get("reason")?.as_str()?.to_owned())
    })
}

/// The message of the last kernel panic at the end of a console's log, if there is one. The guest writes this text: it
/// may lie.
#[must_use]
pub fn panic_message(console_tail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(console_tail);
    // The closing line "---[ end Kernel panic - not syncing: … ]---" repeats the message.
    let line = text
        .lines()
        .rev()
        .find(|line| line.contains(PANIC) && !line.contains("---[ end"))?;
    let (_, message) = line.split_once(PANIC)?;
    Some(printable(message))
}

/// Signal that ended QEMU, from its log: "terminating on signal 15 from pid 1 (…)".
fn terminating_signal(log: &[u8]) -> Option<i32> {
    let text = String::from_utf8_lossy(log);
    let (_, rest) = text.rsplit_once("terminating on signal ")?;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Message of QEMU, without its own name before every line.
pub(super) fn log_message(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("qemu-system-x86_64: ").unwrap_or(line));
    printable(&lines.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = "{\"QMP\": {}}\r\n{\"return\": {}}\r\n";

    fn ended(events: &str, log: &str, console: &str, status: Option<i32>) -> ExitCause {
        cause(&Remains {
            events: events.into(),
            log: log.into(),
            console: console.into(),
            status: status.map(ExitStatus::from_raw),
        })
    }

    fn shutdown(reason: &str) -> String {
        format!(
            "{GREETING}{{\"event\": \"SHUTDOWN\", \"data\": {{\"guest\": true, \"reason\": \"{reason}\"}}}}\r\n"
        )
    }

    const PANICKED: &str = "[    0.9] Kernel panic - not syncing: No working init found.\r\n[    0.9] CPU: 0\r\n\
         [    0.9] ---[ end Kernel panic - not syncing: No working init found. ]---\r\n";

    #[test]
    fn the_last_shutdown_event_decides() {
        assert_eq!(
            ended(&shutdown("guest-shutdown"), "", PANICKED, None),
            ExitCause::GuestShutdown
        );
        assert_eq!(
            ended(&shutdown("guest-reset"), "", "all well", None),
            ExitCause::GuestReset
        );
        assert_eq!(
            ended(&shutdown("host-qmp-quit"), "", "", Some(0)),
            ExitCause::HostQuit
        );
        let both = shutdown("guest-reset") + &shutdown("host-qmp-quit");
        assert_eq!(ended(&both, "", "", None), ExitCause::HostQuit);
    }

    #[test]
    fn a_reset_after_a_panic_is_the_panic() {
        let cause = ended(&shutdown("guest-reset"), "", PANICKED, None);
        assert_eq!(
            cause,
            ExitCause::GuestPanic {
                message: "No working init found.".into()
            }
        );
    }

    #[test]
    fn a_signal_that_qemu_caught_is_named() {
        let log = "qemu-system-x86_64: terminating on signal 15 from pid 9 (kill)\n";
        let cause = ended(&shutdown("host-signal"), log, "", Some(0));
        assert_eq!(cause, ExitCause::HostSignal { signal: Some(15) });
    }

    #[test]
    fn without_a_record_the_wait_status_then_the_log_then_nothing() {
        assert_eq!(
            ended(GREETING, "x\n", "", Some(9)),
            ExitCause::Killed { signal: 9 }
        );
        let log = "qemu-system-x86_64: cannot a\nqemu-system-x86_64: cannot b\n";
        let message = "cannot a; cannot b".to_owned();
        assert_eq!(ended("", log, "", Some(256)), ExitCause::Failed { message });
        assert_eq!(ended("", "", PANICKED, None), ExitCause::Vanished);
    }

    #[test]
    fn hostile_records_are_no_events_and_no_escapes() {
        for events in [
            "{\"event\": \"SHUTDOWN\"}",
            "{\"event\": \"SHUTDOWN\", \"data\": 7}",
            "[[[",
            "\0\u{7f}",
        ] {
            assert_eq!(ended(events, "", "", None), ExitCause::Vanished);
        }
        let console = "Kernel panic - not syncing: \u{1b}[2J\u{7}boo\r\n";
        assert_eq!(
            panic_message(console.as_bytes()),
            Some("[2J boo".to_owned())
        );
        assert_eq!(panic_message(b"\xff\xfe\x00"), None);
    }

    #[test]
    fn the_console_of_earlier_launches_is_not_looked_at() {
        let [second, unknown] = ["second-one", "unknown-one"].map(|token| token.parse().unwrap());
        let at = jiff::Timestamp::UNIX_EPOCH;
        let mark = console_mark(&second, at);
        assert_eq!(
            mark,
            "--- started at 1970-01-01T00:00:00Z as launch second-one ---\r\n"
        );
        for mark in [mark, "--- launch second-one ---\r\n".to_owned()] {
            let console = format!("{PANICKED}{mark}all well");
            assert_eq!(since_launch(console.as_bytes(), &second), b"all well");
        }
        let console = format!("{PANICKED}{}all well", console_mark(&second, at));
        assert_eq!(
            since_launch(console.as_bytes(), &unknown),
            console.as_bytes()
        );
    }
}
