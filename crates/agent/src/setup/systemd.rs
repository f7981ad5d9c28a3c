//! systemd needs a moment between becoming PID 1 and being one to talk to. Before that `systemctl` says "offline": the
//! guest is not called ready until systemd's private socket is there, and its units are started after.
//!
//! ```text
//! exec /sbin/init ─► /run/systemd ─► /run/systemd/private      each waited for with inotify(7)
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

/// Files that systemd makes on its way, in order.
const MILESTONES: [&str; 2] = ["/run/systemd", "/run/systemd/private"];

/// Waits until systemd answers. `false`: not within that time; whoever talks to it will be told why.
///
/// # Errors
/// Those of inotify and poll.
pub fn wait_until_reachable(within: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + within;
    for milestone in MILESTONES {
        if !wait_for(Path::new(milestone), deadline)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until a name appears in a directory that is there.
fn wait_for(path: &Path, deadline: Instant) -> io::Result<bool> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    let appears = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&events, parent, appears)?;
    // The watch first, the look after: what appears in between is seen by one of them.
    while !path.exists() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !readable(&events, left)? {
            return Ok(false);
        }
        let mut buffer = [0; 4096];
        while rustix::io::read(&events, &mut buffer).is_ok_and(|n| n > 0) {}
    }
    Ok(true)
}

fn readable(fd: &OwnedFd, within: Duration) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(within.subsec_nanos()),
    };
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        // A signal: the caller looks again.
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_appears_is_noticed_and_one_that_does_not_ends_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("private");
        let soon = || Instant::now() + Duration::from_millis(50);
        assert!(!wait_for(&name, soon()).unwrap());
        let waiting = std::thread::spawn({
            let name = name.clone();
            move || wait_for(&name, Instant::now() + Duration::from_secs(30)).unwrap()
        });
        std::fs::write(&name, "").unwrap();
        assert!(waiting.join().unwrap());
        assert!(wait_for(&name, soon()).unwrap(), "it is there already");
    }
}
