//! A QEMU that has recorded its end and does not exit.
//!
//! QEMU before 8.2 waits for ever in its own clean-up if a monitor command arrives while it ends (seen here with 7.2:
//! one end in ten, with a command at that moment). By then its guest has stopped and its disks are closed, so a kill is
//! safe.

use std::path::Path;
use std::time::{Duration, Instant};

use banger_process::Process;

use super::{end, files};
use crate::EngineError;

/// Longest time of an honest exit after its record: disks are flushed in it.
const GRACE: Duration = Duration::from_secs(3);
/// Pause between two checks for a recorded end.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest time for a killed process to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Waits until the process of the VMM in `dir` has ended; returns `false` at the deadline. Kills it if it hangs in its
/// end.
pub(super) fn wait_for_end(
    process: &Process,
    dir: &Path,
    within: Duration,
) -> Result<bool, EngineError> {
    let began = Instant::now();
    loop {
        let left = within.saturating_sub(began.elapsed());
        if process.has_ended(left.min(LOOK_EVERY))? {
            return Ok(true);
        }
        if recorded_for(dir)? >= Some(GRACE) {
            return kill(process);
        }
        if left.is_zero() {
            return Ok(false);
        }
    }
}

/// Tells whether the VMM has ended or is ending; waits for its end in the latter case.
pub(super) fn is_over(process: &Process, dir: &Path) -> Result<bool, EngineError> {
    if process.has_ended(Duration::ZERO)? {
        return Ok(true);
    }
    if recorded_for(dir)?.is_none() {
        return Ok(false);
    }
    wait_for_end(process, dir, GRACE + END_WITHIN)
}

fn kill(process: &Process) -> Result<bool, EngineError> {
    tracing::info!("a VMM hangs in its own end and is killed");
    Ok(process.end(END_WITHIN)?)
}

/// Time since the end was recorded; `None` if it is not.
fn recorded_for(dir: &Path) -> Result<Option<Duration>, EngineError> {
    if !end::is_recorded(dir)? {
        return Ok(None);
    }
    let path = dir.join(files::EVENTS_OUT);
    let modified = path
        .metadata()
        .and_then(|metadata| metadata.modified())
        .map_err(EngineError::io(format!("read {}", path.display())))?;
    // A clock that was set back makes the wait longer, not shorter.
    Ok(Some(modified.elapsed().unwrap_or_default()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::{File, FileTimes};
    use std::process::{Child, Command};
    use std::time::SystemTime;

    const SHUTDOWN: &str = "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-reset\"}}\r\n";

    fn victim() -> (Child, Process) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of_pid(child.id()).unwrap().unwrap();
        (child, process)
    }

    /// A folder whose VMM recorded `events` this long ago.
    fn recorded(events: &str, ago: Duration) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::EVENTS_OUT);
        std::fs::write(&path, events).unwrap();
        let times = FileTimes::new().set_modified(SystemTime::now() - ago);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_times(times)
            .unwrap();
        dir
    }

    #[test]
    fn a_vmm_that_stays_after_its_recorded_end_is_killed() {
        let (mut child, process) = victim();
        let dir = recorded(SHUTDOWN, GRACE);
        assert!(wait_for_end(&process, dir.path(), Duration::ZERO).unwrap());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_vmm_that_is_ending_or_says_nothing_of_an_end_is_left_alone() {
        let (mut child, process) = victim();
        for (events, ago) in [
            (SHUTDOWN, Duration::ZERO),
            ("{\"return\": {}}\r\n", GRACE * 9),
        ] {
            let dir = recorded(events, ago);
            assert!(
                !wait_for_end(&process, dir.path(), Duration::ZERO).unwrap(),
                "{events}"
            );
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(!is_over(&process, empty.path()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_over(&process, empty.path()).unwrap());
    }
}
