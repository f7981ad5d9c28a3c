//! A daemon in the background keeps nothing of the command that started it: no terminal, no directory, no open file.

use std::io;
use std::os::fd::RawFd;

/// Leaves the session, the directory and the open files of the command that started this process. Standard input,
/// output and error stay: that command has set them for us.
///
/// Must be called before this process opens anything of its own.
///
/// # Errors
/// The system's.
pub fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    // It was started through /proc/self/exe and would be listed as "exe".
    rustix::thread::set_name(c"banger")?;
    let inherited: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in inherited {
        // The one that listed the directory is closed already, and closing it again would be a fault.
        if std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok() {
            close(fd);
        }
    }
    Ok(())
}

#[allow(unsafe_code)]
fn close(fd: RawFd) {
    // SAFETY: nothing in this process has opened a file yet (see `detach`), so that no owner of this descriptor exists
    // here. The one that listed the directory is closed already: closing it again fails, and nothing else can have got
    // its number, because this process has one thread.
    unsafe { rustix::io::close(fd) }
}
