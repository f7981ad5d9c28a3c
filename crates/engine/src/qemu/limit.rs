//! The limit of what a file of a VMM may have (`RLIMIT_FSIZE`), which its jail sets to its largest disk.

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, geteuid, prlimit, set_dumpable_behavior,
};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::EngineError;

/// Raises the limit of a process so that its files may have so many bytes; a limit that is higher stays.
pub(super) fn raise(pid: u32, bytes: u64) -> Result<(), EngineError> {
    let path = format!("/proc/{pid}/limits");
    let text = std::fs::read_to_string(&path).map_err(EngineError::io("read a VMM's limits"))?;
    let (now, most) = of_files(&text).ok_or_else(|| EngineError::Invalid {
        field: "limits",
        value: path,
        reason: "have no line for the size of files".to_owned(),
    })?;
    if now.is_none_or(|now| now >= bytes) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(bytes),
        // Of an older build's VMM it is lower, and only root may raise it.
        maximum: most.map(|most| most.max(bytes)),
    };
    let set = |as_user: Option<(Uid, Gid)>| match as_user {
        None => set(pid, raised),
        Some(user) => as_another(user, move || set(pid, raised)),
    };
    set(None)
        .or_else(|error| match (error, user_of(pid)) {
            // Root of a container often lacks the capability for it; the VMM's own user needs none.
            (Errno::PERM, Some(user)) if geteuid().is_root() => set(Some(user)),
            _ => Err(error),
        })
        .map_err(|error| EngineError::io("raise a VMM's limit for files")(error))
}

fn set(pid: u32, limit: Rlimit) -> Result<(), Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Fsize, limit).map(drop)
}

/// User and group of a process, where all of its ids are the same (proc(5)).
fn user_of(pid: u32) -> Option<(Uid, Gid)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let one = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let ids: Option<Vec<u32>> = line.split_whitespace().map(|id| id.parse().ok()).collect();
        let ids = ids?;
        let first = *ids.first()?;
        ids.iter().all(|id| *id == first).then_some(first)
    };
    Some((Uid::from_raw(one("Uid:")?), Gid::from_raw(one("Gid:")?)))
}

/// Does `work` in a thread that is this user, and ends with it: users belong to threads, not to processes (credentials(7)).
fn as_another(
    (uid, gid): (Uid, Gid),
    work: impl FnOnce() -> Result<(), Errno> + Send,
) -> Result<(), Errno> {
    let done = std::thread::scope(|scope| {
        let become_it = move || {
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
            work()
        };
        scope.spawn(become_it).join()
    });
    // The kernel has made this process closed to its own user meanwhile, which must be able to look at it.
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    done.unwrap_or(Err(Errno::CANCELED))
}

/// Present and highest limit of the size of files, where there are any (proc(5)).
fn of_files(limits: &str) -> Option<(Option<u64>, Option<u64>)> {
    let mut lines = limits.lines();
    let values = lines.find_map(|line| line.strip_prefix("Max file size"))?;
    let mut values = values.split_whitespace().map(|value| match value {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    });
    Some((values.next()??, values.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_none() {
        let of = |values: &str| {
            of_files(&format!(
                "Limit  Soft Hard\nMax file size  {values} bytes\n"
            ))
        };
        assert_eq!(of("1024 unlimited"), Some((Some(1024), None)));
        assert_eq!(of("unlimited unlimited"), Some((None, None)));
        assert_eq!(of("7 8"), Some((Some(7), Some(8))));
        for odd in ["", "7", "7 x"] {
            assert_eq!(of(odd), None, "{odd}");
        }
        assert_eq!(of_files("Max cpu time 1 2 seconds"), None);
    }

    #[test]
    fn a_limit_is_raised_and_never_lowered() {
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        let pid = child.id();
        let limit = |current| Rlimit {
            current,
            maximum: None,
        };
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
        prlimit(known, Resource::Fsize, limit(Some(1 << 20))).unwrap();
        let now = || of_files(&std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap());
        for (bytes, expected) in [(1 << 30, 1 << 30), (1 << 20, 1 << 30)] {
            raise(pid, bytes).unwrap();
            assert_eq!(now(), Some((Some(expected), None)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn root_raises_that_of_another_user_as_that_user() {
        use std::os::unix::process::CommandExt as _;
        if !geteuid().is_root() {
            return;
        }
        let mut sleep = std::process::Command::new("sleep");
        let mut child = sleep.arg("30").uid(61_418).gid(61_418).spawn().unwrap();
        let user = (Uid::from_raw(61_418), Gid::from_raw(61_418));
        assert_eq!(user_of(child.id()), Some(user));
        let limit = |current| Rlimit {
            current: Some(current),
            maximum: None,
        };
        let pid = child.id();
        as_another(user, move || set(pid, limit(1 << 20))).unwrap();
        raise(pid, 1 << 30).unwrap();
        let now = of_files(&std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap());
        assert_eq!(now, Some((Some(1 << 30), None)));
        assert!(geteuid().is_root() && std::fs::read_link("/proc/self/exe").is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
