//! The only unsafe code of this crate: the calls between fork and exec.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::FdFlags;
use rustix::process::{Resource, Rlimit};

/// Makes `command` start in its own session, without core dumps, with files private to the user, and with no
/// descriptor beyond its standard three and `kept`, also when this process or a parent left others open without
/// close-on-exec. The descriptors `kept` keep their numbers; they must be open until the command has been spawned.
pub(crate) fn isolate(command: &mut Command, kept: Vec<RawFd>) {
    let here = move || isolate_here(&kept);
    // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe work is allowed:
    // it makes system calls and uses the stack, allocates and frees nothing and takes no lock.
    unsafe { command.pre_exec(here) };
}

/// Keeps huge pages (THP) from `command`, even when it asks for them. A guest that is translated is small and touches
/// its memory here and there: a huge page at a time is more to clear, and on a host that is itself a guest more to get.
pub(crate) fn without_huge_pages(command: &mut Command) {
    let here = || Ok(rustix::thread::disable_transparent_huge_pages(true)?);
    // SAFETY: as above; this is one system call.
    unsafe { command.pre_exec(here) };
}

fn isolate_here(kept: &[RawFd]) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // 1, not 0: a program that takes cores (core(5), a pipe) is started in spite of 0. A file of 1 byte is never written.
    let most = rustix::process::getrlimit(Resource::Core).maximum;
    let limit = Some(most.map_or(1, |most| most.min(1)));
    let none = Rlimit {
        current: limit,
        maximum: limit,
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    close_on_exec_from(3, kept)
}

/// Marks every open descriptor from `first` up as close-on-exec, but those of `kept`, which it unmarks. (`close_range` with `CLOSE_RANGE_CLOEXEC` needs Linux 5.11.)
fn close_on_exec_from(first: RawFd, kept: &[RawFd]) -> io::Result<()> {
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
            let flags = match kept.contains(&fd.as_raw_fd()) {
                true => FdFlags::empty(),
                false => FdFlags::CLOEXEC,
            };
            rustix::io::fcntl_setfd(fd, flags)?;
        }
    }
    Ok(())
}
