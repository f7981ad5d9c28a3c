//! Leftovers of a folder: processes, mounts, sockets, files of VMs.

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::ends_before;

/// Longest time for a process to disappear after SIGKILL.
const DYING: Duration = Duration::from_secs(5);

/// A thing that should be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A process that names the folder on its command line, in its environment or as its working directory.
    Process {
        /// Its process id.
        pid: Pid,
        /// Its command line.
        command: String,
    },
    /// A mount below the folder.
    Mount(PathBuf),
    /// A Unix socket.
    Socket(PathBuf),
    /// A file or folder of a VM.
    VmFile(PathBuf),
}

impl fmt::Display for Leftover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, command } => {
                write!(out, "process {}: {command}", pid.as_raw_nonzero())
            }
            Self::Mount(path) => write!(out, "mount {}", path.display()),
            Self::Socket(path) => write!(out, "socket {}", path.display()),
            Self::VmFile(path) => write!(out, "file of a VM {}", path.display()),
        }
    }
}

/// The processes, other than this one, that name `folder` on their command line, in their environment or as their
/// working directory.
pub fn processes_of(folder: &Path) -> Vec<Leftover> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|&number| u32::try_from(number).is_ok_and(|number| number != own))
        .filter_map(|number| named_by(number, folder))
        .collect()
}

fn named_by(number: i32, folder: &Path) -> Option<Leftover> {
    let proc = PathBuf::from(format!("/proc/{number}"));
    // A process may have ended meanwhile, or belong to another user: then there is nothing to read.
    let command = fs::read(proc.join("cmdline")).unwrap_or_default();
    let environment = fs::read(proc.join("environ")).unwrap_or_default();
    let works_in = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let needle = folder.as_os_str().as_bytes();
    if !(works_in || names(&command, needle) || names(&environment, needle)) || is_zombie(&proc) {
        return None;
    }
    let command = String::from_utf8_lossy(&command)
        .replace('\0', " ")
        .trim()
        .to_owned();
    Some(Leftover::Process {
        pid: Pid::from_raw(number)?,
        command,
    })
}

/// Tells whether `text` contains `folder` as a whole path: `/x/s-1-1` is not in `/x/s-1-10`.
fn names(text: &[u8], folder: &[u8]) -> bool {
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.windows(folder.len()).enumerate().any(|(at, window)| {
        window == folder && !text.get(at + folder.len()).copied().is_some_and(continues)
    })
}

/// Tells whether a process is dead and not yet reaped: it holds nothing, and without a real init it may stay for ever.
fn is_zombie(proc: &Path) -> bool {
    matches!(stat_field(proc, 0).as_deref(), None | Some("Z" | "X"))
}

/// A field of `/proc/<pid>/stat`, counted from the state, which follows the command name (proc(5)); the name itself may
/// hold parentheses.
fn stat_field(proc: &Path, number: usize) -> Option<String> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number).map(str::to_owned)
}

/// Mounts, sockets and VM files below a `BANGER_HOME`, and processes that name it.
pub(crate) fn left_in(banger_home: &Path) -> Vec<Leftover> {
    let mut left = processes_of(banger_home);
    left.extend(mounts_below(banger_home).into_iter().map(Leftover::Mount));
    sockets_below(banger_home, &mut left);
    // In every layout, a VM's files are in a folder called vms, and what was frozen of its disks in one called layers.
    for name in ["vms", "layers"] {
        for folder in folders_called(banger_home, name) {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| Leftover::VmFile(entry.path())));
        }
    }
    left
}

fn sockets_below(folder: &Path, left: &mut Vec<Leftover>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => sockets_below(&entry.path(), left),
            Ok(kind) if kind.is_socket() => left.push(Leftover::Socket(entry.path())),
            _ => {}
        }
    }
}

fn folders_called(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name() == name {
                found.push(entry.path());
            } else {
                found.extend(folders_called(&entry.path(), name));
            }
        }
    }
    found
}

fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    places.filter(|place| place.starts_with(folder)).collect()
}

/// Kills the processes that name `folder`, and waits until they are gone.
///
/// A process at a terminal is left alone: a person is looking into a kept sandbox.
pub(crate) fn end_processes_of(folder: &Path) {
    /// `tty_nr` in proc(5), counted from the state; 0 is no terminal.
    const TERMINAL: usize = 4;
    for leftover in processes_of(folder) {
        let Leftover::Process { pid, .. } = leftover else {
            continue;
        };
        let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        if stat_field(&proc, TERMINAL).as_deref() == Some("0") {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
            ends_before(pid, Instant::now() + DYING);
        }
    }
}

/// Unmounts everything below `folder`, the deepest first.
pub(crate) fn unmount_below(folder: &Path) {
    for place in mounts_below(folder).into_iter().rev() {
        // A failed unmount makes the removal of the folder fail, which reports it.
        let _ = unmount(&place, UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_folder_is_named_only_as_a_whole_path() {
        assert!(names(b"qemu\0-path=/x/s-1-1/b\0", b"/x/s-1-1"));
        assert!(names(b"/x/s-1-1", b"/x/s-1-1"));
        assert!(!names(b"/x/s-1-10/b", b"/x/s-1-1"));
        assert!(!names(b"", b"/x"));
    }
}
