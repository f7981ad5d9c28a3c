//! The keeper: starts the service again when it dies, where PID 1 is the image's init.
//!
//! ```text
//! PID 1 ── before it becomes the image's init ──► keeper ── waits for service.lock ──► starts the service again
//! systemd ── banger-agent.service ──────────────► guard  ── waits for keeper.lock ──► is the keeper from then on
//! ```
//!
//! Where systemd is not, the kernel has the guard's part ([`crate::revival`]).
//!
//! Both locks are the kernel's: it takes them from a process that is gone, however it ended. The guard is what brings the
//! agent back when service and keeper are ended together, and systemd starts the guard again.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::cgroup;
use crate::console::say;
use crate::program::{AGAIN, ITSELF, NAME, name_ourselves};
use crate::revival;
use crate::setup::agent_unit;

/// Keep the service of this guest.
pub const KEEP: &str = "keep";
/// Keep it once nobody else does.
pub const GUARD: &str = "guard";

const FOLDER: &str = "/run/banger";
const SERVICE_LOCK: &str = "service.lock";
const KEEPER_LOCK: &str = "keeper.lock";
/// Between the death of the service and its next start.
const PAUSE: Duration = Duration::from_millis(500);

/// Says that the service is this process, for as long as it lives.
///
/// # Errors
/// Another one lives, or the lock's file cannot be made.
pub fn serve_alone() -> io::Result<()> {
    static HELD: OnceLock<File> = OnceLock::new();
    let file = lock_file(Path::new(FOLDER), SERVICE_LOCK)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| io::Error::other(format!("another agent serves this guest: {error}")))?;
    // Set before: this process holds the lock already.
    let _ = HELD.set(file);
    Ok(())
}

/// Starter of a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// PID 1, before it became the image's init.
    OfInit,
    /// systemd, as the guard.
    OfSystemd,
    /// The kernel, once there was none any more.
    OfKernel,
}

/// Keeps the service.
///
/// # Errors
/// The service cannot be watched or started.
pub fn keep(keeper: Keeper) -> io::Result<()> {
    name_ourselves()?;
    // As the service itself.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    // systemd's own is in a group of its unit.
    if keeper != Keeper::OfSystemd
        && let Err(error) = cgroup::enter()
    {
        say(format_args!(
            "the keeper has no control group of its own: {error}"
        ));
    }
    let folder = Path::new(FOLDER);
    let _keeper = wait_for(folder, KEEPER_LOCK)?;
    if !agent_unit::is_installed()
        && let Err(error) = revival::arm()
    {
        say(format_args!("nobody will restart the keeper: {error}"));
    }
    loop {
        drop(wait_for(folder, SERVICE_LOCK)?);
        std::thread::sleep(PAUSE);
        let mut again = Command::new(ITSELF);
        say("the agent ended and is started again");
        let status = again.arg0(NAME).arg(AGAIN).stdin(Stdio::null()).status()?;
        say(format_args!("the agent ended ({status})"));
    }
}

/// Waits until nobody else has a lock, and takes it.
fn wait_for(folder: &Path, name: &str) -> io::Result<File> {
    let file = lock_file(folder, name)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn lock_file(folder: &Path, name: &str) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_got_when_the_one_who_had_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let held = wait_for(folder.path(), KEEPER_LOCK).unwrap();
        let second = lock_file(folder.path(), KEEPER_LOCK).unwrap();
        assert!(flock(&second, FlockOperation::NonBlockingLockExclusive).is_err());
        let waiting = std::thread::spawn({
            let path = folder.path().to_owned();
            move || wait_for(&path, KEEPER_LOCK).map(drop)
        });
        drop(held);
        waiting.join().unwrap().unwrap();
    }
}
