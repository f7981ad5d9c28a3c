//! The only unsafe code of this crate: what runs between fork and exec, and the reading of the time stamp counter.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::FdFlags;
use rustix::process::{Resource, Rlimit};

/// Makes `command` start in its own session, without core dumps, with files private to the user, and with no
/// descriptor beyond its standard three, whatever this process or its parents left open without close-on-exec.
pub(crate) fn isolate(command: &mut Command) {
    // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe work is allowed:
    // it makes system calls and uses the stack, allocates nothing and takes no lock.
    unsafe { command.pre_exec(isolate_here) };
}

/// Keeps huge pages (THP) from `command`, whatever it asks the kernel for. A guest that is translated is small and touches its
/// memory here and there: a huge page at a time is more to clear, and on a host that is itself a guest more to get.
pub(crate) fn without_huge_pages(command: &mut Command) {
    let here = || Ok(rustix::thread::disable_transparent_huge_pages(true)?);
    // SAFETY: as above; this is one system call.
    unsafe { command.pre_exec(here) };
}

fn isolate_here() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    close_on_exec_from(3)
}

/// Marks every open descriptor from `first` up as close-on-exec. (`close_range` with `CLOSE_RANGE_CLOEXEC` needs Linux 5.11.)
fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let fds = rustix::fs::open(
        c"/proc/self/fd",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&fds, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Some(fd) = entry
            .file_name()
            .to_str()
            .ok()
            .and_then(|name| name.parse::<RawFd>().ok())
        else {
            continue; // "." and ".."
        };
        if fd >= first {
            // SAFETY: the kernel has just listed this descriptor as open, and nothing closes any: the child has one thread.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}

/// The CPU's time stamp counter, cycles; `None` on architectures without one.
pub(crate) fn time_stamp() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 CPU has RDTSC, and Linux leaves it open to user space unless a process forbids it to itself.
        Some(unsafe { std::arch::x86_64::_rdtsc() })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
