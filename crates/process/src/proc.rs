//! Reads processes from `/proc` (proc(5)). Reads are bounded: the processes belong to the user, not to us.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::ProcessError;

/// More than any process of ours needs; a longer command line is not ours.
const CMDLINE_MAX_BYTES: u64 = 256 * 1024;

/// One process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observed {
    pub start_ticks: u64,
    pub exe: PathBuf,
    pub args: Vec<OsString>,
}

/// `/proc/sys/kernel/random/boot_id`: differs after every boot of the host. Read once: it does not change while this process lives.
///
/// # Errors
/// It cannot be read.
pub fn boot_id() -> Result<String, ProcessError> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    static READ: OnceLock<String> = OnceLock::new();
    if let Some(boot_id) = READ.get() {
        return Ok(boot_id.clone());
    }
    let text = std::fs::read_to_string(PATH).map_err(ProcessError::io(format!("read {PATH}")))?;
    Ok(READ.get_or_init(|| text.trim().to_owned()).clone())
}

/// Looks at a process; `None` when there is none with this pid, or only its zombie.
pub(crate) fn observe(pid: u32) -> Result<Option<Observed>, ProcessError> {
    let Some(stat) = read(pid, "stat")? else {
        return Ok(None);
    };
    let (state, start_ticks) = parse_stat(&stat).ok_or_else(|| ProcessError::Io {
        what: format!("read /proc/{pid}/stat"),
        source: io::Error::new(ErrorKind::InvalidData, "unknown format"),
    })?;
    if matches!(state, b'Z' | b'X') {
        return Ok(None);
    }
    let path = format!("/proc/{pid}/exe");
    let exe = match std::fs::read_link(&path) {
        Ok(exe) => without_deleted_mark(exe),
        Err(e) if is_gone(&e) => return Ok(None),
        Err(e) => {
            return Err(ProcessError::Io {
                what: format!("read {path}"),
                source: e,
            });
        }
    };
    let Some(cmdline) = read(pid, "cmdline")? else {
        return Ok(None);
    };
    let args = cmdline
        .strip_suffix(b"\0")
        .unwrap_or(&cmdline)
        .split(|byte| *byte == 0)
        .map(|arg| OsString::from_vec(arg.to_vec()))
        .collect();
    Ok(Some(Observed {
        start_ticks,
        exe,
        args,
    }))
}

/// Start time of a process in clock ticks since boot, also of a zombie; `None` when there is no process.
pub(crate) fn start_ticks(pid: u32) -> Result<Option<u64>, ProcessError> {
    Ok(state(pid)?.map(|(_, start_ticks)| start_ticks))
}

/// The letter of a process's state, and when it started: of one moment, for one read tells both.
pub(crate) fn state(pid: u32) -> Result<Option<(u8, u64)>, ProcessError> {
    Ok(read(pid, "stat")?.as_deref().and_then(parse_stat))
}

/// The control groups of a process, as `/proc/PID/cgroup` says them; nothing when it has ended.
pub(crate) fn cgroups(pid: u32) -> Result<String, ProcessError> {
    let text = read(pid, "cgroup")?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The pids of all processes of this user; for root those of everybody, because what root starts may become another user.
pub(crate) fn own_pids() -> Result<Vec<u32>, ProcessError> {
    let uid = rustix::process::getuid().as_raw();
    let entries = std::fs::read_dir("/proc").map_err(ProcessError::io("list /proc"))?;
    Ok(entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // It may end while we look: then it is not ours.
            (uid == 0 || entry.metadata().ok()?.uid() == uid).then_some(pid)
        })
        .collect())
}

/// The folder in which a process runs; `None` when it has ended.
pub(crate) fn cwd(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

fn read(pid: u32, file: &str) -> Result<Option<Vec<u8>>, ProcessError> {
    let path = format!("/proc/{pid}/{file}");
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|f| f.take(CMDLINE_MAX_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if is_gone(&e) => Ok(None),
        Err(e) => Err(ProcessError::Io {
            what: format!("read {path}"),
            source: e,
        }),
    }
}

/// `ENOENT` before the open, `ESRCH` when the process ends between open and read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// State (field 3) and start time (field 22). The name (field 2) may hold spaces and brackets: the last `)` ends it.
fn parse_stat(stat: &[u8]) -> Option<(u8, u64)> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(stat.get(after_name..)?)
        .ok()?
        .split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

/// The kernel marks an executable that a package upgrade has replaced; the process is the same.
fn without_deleted_mark(exe: PathBuf) -> PathBuf {
    match exe.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) => Path::new(std::ffi::OsStr::from_bytes(path)).to_owned(),
        None => exe,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_and_spaces_does_not_move_the_fields() {
        let stat = b"7 (a) R 9 (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9 9\n";
        assert_eq!(parse_stat(stat), Some((b'S', 4242)));
    }

    #[test]
    fn a_cut_or_foreign_stat_is_refused() {
        for stat in [
            &b""[..],
            b"7 (x",
            b"7 (x)",
            b"7 (x) S 1 2 3",
            b"7 (x) S a b c d e f g h i j k l m n o p q r s",
        ] {
            assert_eq!(parse_stat(stat), None, "{}", String::from_utf8_lossy(stat));
        }
    }

    #[test]
    fn this_process_is_observed_with_its_executable_and_arguments() {
        let seen = observe(std::process::id()).unwrap().unwrap();
        assert_eq!(seen.exe, std::env::current_exe().unwrap());
        assert_eq!(seen.args, std::env::args_os().collect::<Vec<_>>());
        assert!(seen.start_ticks > 0);
    }

    #[test]
    fn a_pid_that_nobody_has_is_no_process() {
        // Above PID_MAX_LIMIT (4 Mi on 64 bits): never given out.
        assert_eq!(observe(5_000_000).unwrap(), None);
    }

    #[test]
    fn a_zombie_counts_as_no_process() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_child(&child),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        let mut fds = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        assert_eq!(observe(child.id()).unwrap(), None);
        child.wait().unwrap();
    }

    #[test]
    fn an_executable_replaced_by_an_upgrade_keeps_its_name() {
        assert_eq!(
            without_deleted_mark("/usr/bin/q (deleted)".into()),
            Path::new("/usr/bin/q")
        );
        assert_eq!(
            without_deleted_mark("/usr/bin/q".into()),
            Path::new("/usr/bin/q")
        );
    }
}
