//! A VMM whose guest has escaped: started by the engine in QEMU's place, it tries what it can reach and writes a line for each
//! try to its standard error: `name yes` or `name no: cause`. The file `targets` in its folder says where the host's things are.
#![allow(
    unsafe_code,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a test"
)]

use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

fn called(returned: libc::c_long) -> Result<()> {
    match returned {
        -1 => Err(Error::last_os_error()),
        _ => Ok(()),
    }
}

fn tell(name: &str, tried: Result<()>) {
    match tried {
        Ok(()) => eprintln!("{name} yes"),
        Err(error) => eprintln!("{name} no: {error}"),
    }
}

fn write(path: &Path) -> Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

fn main() {
    let targets = std::fs::read_to_string("targets").expect("the file of targets");
    let [world, parent, port, limit] = targets.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("four targets are wanted: {targets}");
    };
    let world = Path::new(world);
    let parent: libc::pid_t = parent.parse().expect("a pid");
    let limit: u64 = limit.parse().expect("a length");
    // SAFETY: the call reads nothing and cannot fail.
    eprintln!("user {}", unsafe { libc::getuid() });
    tell("own-disk", write(&world.join("own.img")));
    tell("home", std::fs::read(world.join("home/secret")).map(drop));
    tell("list-home", std::fs::read_dir(world.join("home")).map(drop));
    tell(
        "other-disk",
        File::open(world.join("other/system.img")).map(drop),
    );
    tell("store", File::open(world.join("banger.db")).map(drop));
    tell("key", File::open(world.join("ssh/id_ed25519")).map(drop));
    tell("base", write(&world.join("base.ext4")));
    tell("make-elsewhere", File::create(world.join("made")).map(drop));
    tell("make-here", File::create("made").map(drop));
    tell(
        "daemon",
        UnixStream::connect(world.join("daemon.sock")).map(drop),
    );
    tell(
        "monitor",
        UnixStream::connect(world.join("other/control.sock")).map(drop),
    );
    tell(
        "proc",
        std::fs::read(format!("/proc/{parent}/environ")).map(drop),
    );
    tell(
        "tcp",
        TcpStream::connect(format!("127.0.0.1:{port}")).map(drop),
    );
    tell("grow", grow(&world.join("own.img"), limit));
    tell("raise", raise(limit));
    // SAFETY: these calls read nothing but the constants that they get; a child ends at once.
    unsafe {
        tell("signal", called(libc::kill(parent, 0).into()));
        tell("fork", called(fork().into()));
        tell(
            "ptrace",
            called(libc::ptrace(libc::PTRACE_SEIZE, parent, 0, 0)),
        );
        let none = std::ptr::null();
        let bound = libc::mount(
            c"/usr".as_ptr(),
            c"/usr".as_ptr(),
            none,
            libc::MS_BIND,
            none.cast(),
        );
        tell("mount", called(bound.into()));
        tell(
            "bpf",
            called(libc::syscall(libc::SYS_bpf, 0, 0, 0)).or_else(known),
        );
        tell("keyctl", called(libc::syscall(libc::SYS_keyctl, 0, -4, 1)));
        tell(
            "io-uring",
            called(libc::syscall(libc::SYS_io_uring_setup, 0, 0)).or_else(known),
        );
        tell("userns", called(libc::unshare(libc::CLONE_NEWUSER).into()));
    }
    let error = Command::new("/bin/sh")
        .args(["-c", "echo 'exec yes' >&2"])
        .exec();
    tell("exec", Err(error));
}

/// A call that looks at its arguments is one that is let through.
fn known(error: Error) -> Result<()> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EFAULT) => Ok(()),
        _ => Err(error),
    }
}

fn grow(disk: &Path, limit: u64) -> Result<()> {
    // SAFETY: the signal is ignored, so the write says what stopped it.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let disk = OpenOptions::new().write(true).open(disk)?;
    disk.write_at(b"x", limit + 1).map(drop)
}

/// Raises what its files may have, by both calls that there are for it.
fn raise(limit: u64) -> Result<()> {
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the calls read or write one such structure, which the pointer is to.
    unsafe {
        called(libc::getrlimit(libc::RLIMIT_FSIZE, &mut now).into())?;
        if now.rlim_max <= limit {
            return Err(Error::other("nobody may raise it"));
        }
        now.rlim_cur = limit * 2;
        let first = called(libc::setrlimit(libc::RLIMIT_FSIZE, &now).into());
        let number = libc::SYS_setrlimit;
        first.or_else(|_| called(libc::syscall(number, libc::RLIMIT_FSIZE, &now)))
    }
}

/// SAFETY: the caller has one thread; the child ends at once.
unsafe fn fork() -> libc::pid_t {
    // SAFETY: as the caller promises.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(0),
            pid => pid,
        }
    }
}
