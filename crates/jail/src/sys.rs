//! The only unsafe code of this crate: system calls that rustix does not have, and the fork of a trial.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use seccompiler::sock_filter;

use crate::Prepared;

/// The error of the call that has just failed.
fn last() -> Errno {
    io::Error::last_os_error()
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

fn done(returned: libc::c_long) -> Result<(), Errno> {
    match returned {
        -1 => Err(last()),
        _ => Ok(()),
    }
}

/// Moves this process, which has one thread, into new namespaces (`CLONE_NEW*`).
pub(crate) fn unshare(flags: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the call reads no memory; descriptors stay shared with nobody, for `CLONE_FILES` is no namespace.
    done(unsafe { libc::unshare(flags) }.into())
}

/// Adds attributes (`MOUNT_ATTR_*`) to the mount of `dir` and `path`, and to those below it where `flags` say so.
pub(crate) fn add_mount_attributes(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: libc::c_int,
    attributes: u64,
) -> Result<(), Errno> {
    let attr = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: path and attributes outlive the call, which only reads them; the size is that of the attributes.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })
}

/// Version of the kernel's landlock interface; `None` when it has none, or it is switched off.
pub(crate) fn landlock_abi() -> Option<u32> {
    const VERSION: libc::c_ulong = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads no memory and makes nothing.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, VERSION) };
    u32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// Puts this process under the ruleset.
pub(crate) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the call reads no memory.
    done(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
}

/// Makes a write beyond the limit for the length of files an error of that write (`EFBIG`), also in the program that is
/// executed: by itself the kernel ends the process (setrlimit(2), `SIGXFSZ`).
pub(crate) fn ignore_too_long_files() -> Result<(), Errno> {
    // SAFETY: no handler is installed; the call changes this process's disposition of one signal alone.
    match unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(last()),
        _ => Ok(()),
    }
}

/// Installs a filter of system calls.
pub(crate) fn install_filter(program: &[sock_filter]) -> Result<(), Errno> {
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(Errno::INVAL);
    };
    let program = libc::sock_fprog {
        len,
        // The same fields in the same order: `struct sock_filter` of linux/filter.h.
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel copies `len` instructions, which outlive the call, and changes nothing.
    done(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    })
}

/// Takes every capability but `kept` out of the bounding set. A process that may not do that gains none all the same: it has no new
/// privileges.
pub(crate) fn empty_bounding_set(kept: CapabilitySet) -> Result<(), Errno> {
    for capability in 0..64 {
        if kept.bits() & (1 << capability) != 0 {
            continue;
        }
        // SAFETY: the call reads no memory.
        match done(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }.into()) {
            Ok(()) => {}
            // Beyond the kernel's last one, or without the right to.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Has `command` enter the jail after everything else that it does before exec.
pub(crate) fn enter_before_exec(command: &mut Command, jail: Arc<Prepared>) {
    let here = move || jail.enter();
    // SAFETY: it runs in the forked child before exec; `enter` makes system calls and uses the stack and what was prepared
    // alone.
    unsafe { command.pre_exec(here) };
}

/// Forks a process that enters the jail, says so and ends without executing anything.
pub(crate) fn try_entering(jail: &Arc<Prepared>) -> io::Error {
    let jail = Arc::clone(jail);
    let mut command = Command::new("/proc/self/exe");
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let enter = move || {
        jail.enter()?;
        jail.report_entered();
        Err(Errno::CANCELED.into())
    };
    // SAFETY: it runs in the forked child before exec; `enter` makes system calls and uses the stack alone.
    unsafe { command.pre_exec(enter) };
    match command.spawn() {
        Err(error) => error,
        Ok(mut child) => {
            let ended = child.kill().and_then(|()| child.wait());
            io::Error::other(format!("it was executed ({ended:?})"))
        }
    }
}
