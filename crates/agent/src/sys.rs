//! The calls into the kernel that Rust cannot check. Everything unsafe of this crate is in this file.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{NoArg, Opcode, Setter, opcode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Signal, Uid};
use tokio::io::unix::AsyncFd;

/// `EXT4_IOC_RESIZE_FS`, `_IOW('f', 16, __u64)` (fs/ext4/ext4.h).
const EXT4_IOC_RESIZE_FS: Opcode = opcode::write::<u64>(b'f', 16);
/// `RNDADDENTROPY`, `_IOW('R', 0x03, int[2])` (random(4)).
const RNDADDENTROPY: Opcode = opcode::write::<[i32; 2]>(b'R', 3);
/// `RNDRESEEDCRNG`, `_IO('R', 0x07)` (random(4)).
const RNDRESEEDCRNG: Opcode = opcode::none(b'R', 7);

/// Grows the ext4 file system that holds `mounted` to `blocks` of its own blocks.
pub(crate) fn ext4_resize(mounted: impl AsFd, blocks: u64) -> io::Result<()> {
    // SAFETY: the operation reads one u64 behind the pointer, and the pointer is to one.
    unsafe {
        Ok(rustix::ioctl::ioctl(
            mounted,
            Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks),
        )?)
    }
}

/// `SIOCSIFFLAGS` (netdevice(7)).
const SIOCSIFFLAGS: Opcode = 0x8914;
/// `IFF_UP` (netdevice(7)).
const IFF_UP: i16 = 1;

/// `struct ifreq` with flags (netdevice(7)).
#[repr(C)]
struct InterfaceFlags {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Brings a network interface up, with no other flag. One call, where a routing message takes a socket of its own kind
/// and much more of the kernel: milliseconds under emulation.
pub(crate) fn bring_up(interface: &CStr) -> io::Result<()> {
    let mut request = InterfaceFlags {
        name: [0; 16],
        flags: IFF_UP,
        rest: [0; 22],
    };
    let name = interface.to_bytes_with_nul();
    request
        .name
        .get_mut(..name.len())
        .ok_or(io::ErrorKind::InvalidInput)?
        .copy_from_slice(name);
    // Any socket will do.
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: the operation reads one `struct ifreq` behind the pointer, and the pointer is to one.
    unsafe {
        Ok(rustix::ioctl::ioctl(
            socket,
            Setter::<SIOCSIFFLAGS, InterfaceFlags>::new(request),
        )?)
    }
}

/// Most bytes that [`add_entropy`] takes.
pub(crate) const MAX_ENTROPY: usize = 512;

/// `struct rand_pool_info` with room for [`MAX_ENTROPY`] bytes.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    bytes_len: i32,
    bytes: [u8; MAX_ENTROPY],
}

/// Mixes bytes into the kernel's random pool and credits them in full.
pub(crate) fn add_entropy(random: impl AsFd, fresh: &[u8]) -> io::Result<()> {
    let fresh = &fresh[..fresh.len().min(MAX_ENTROPY)];
    let len = i32::try_from(fresh.len()).map_err(io::Error::other)?;
    let mut info = PoolInfo {
        entropy_bits: len * 8,
        bytes_len: len,
        bytes: [0; MAX_ENTROPY],
    };
    info.bytes[..fresh.len()].copy_from_slice(fresh);
    // SAFETY: the kernel reads the two numbers and `bytes_len` bytes behind them; all lie inside `info`.
    unsafe {
        Ok(rustix::ioctl::ioctl(
            random,
            Setter::<RNDADDENTROPY, PoolInfo>::new(info),
        )?)
    }
}

/// Has the kernel's random numbers come from a new key at once.
pub(crate) fn reseed_random(random: impl AsFd) -> io::Result<()> {
    // SAFETY: the operation takes no argument, and reads and writes no memory of this process.
    unsafe {
        let operation = NoArg::<RNDRESEEDCRNG>::new();
        Ok(rustix::ioctl::ioctl(random, operation)?)
    }
}

/// Pace of the system clock (adjtimex(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockPace {
    /// Length of a tick in microseconds.
    pub tick_us: i64,
    /// A program of the guest keeps the clock, and told the kernel so.
    pub kept: bool,
}

/// Reads the pace of the clock.
pub(crate) fn clock_pace() -> io::Result<ClockPace> {
    let read = adjust_clock(0, 0)?;
    Ok(ClockPace {
        tick_us: read.tick,
        kept: read.status & libc::STA_UNSYNC == 0,
    })
}

/// Sets the length of a tick in microseconds: 9000 to 11000.
pub(crate) fn set_tick(tick_us: i64) -> io::Result<()> {
    adjust_clock(libc::ADJ_TICK, tick_us).map(drop)
}

fn adjust_clock(modes: libc::c_uint, tick: i64) -> io::Result<libc::timex> {
    // SAFETY: `struct timex` is numbers alone, for which all bytes zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.modes = modes;
    timex.tick = tick;
    // SAFETY: the kernel reads and writes one `struct timex` behind the pointer, and the pointer is to one.
    match unsafe { libc::adjtimex(&raw mut timex) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(timex),
    }
}

/// Has the runtime watch a descriptor that it owns from then on.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same, until the returned value is dropped with it.
    unsafe { Ok(AsyncFd::register(fd)?) }
}

/// Steps of a child between fork and exec.
#[derive(Debug)]
pub(crate) struct ChildSetup {
    /// Its standard input becomes its controlling terminal.
    pub controlling_terminal: bool,
    /// The user that it becomes; `None` stays root.
    pub become_user: Option<(u32, u32, Vec<u32>)>,
    /// The file of the control group that it becomes a member of, open for writing.
    pub group: Option<OwnedFd>,
}

/// Gives a command its own session, its terminal and its user.
pub(crate) fn set_up_child(command: &mut Command, setup: ChildSetup) {
    let groups: Vec<Gid> = setup
        .become_user
        .iter()
        .flat_map(|(_, _, groups)| groups)
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    let child = move || -> io::Result<()> {
        rustix::process::setsid()?;
        if let Some(group) = &setup.group {
            // In the service's group it would still be ended with its session.
            let _ = rustix::io::write(group, b"0");
        }
        // The service is spared when memory runs out; what it starts is not. Where that cannot be set, the command
        // runs all the same.
        if let Ok(score) =
            rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY, Mode::empty())
        {
            let _ = rustix::io::write(&score, b"0");
        }
        if setup.controlling_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        if let Some((uid, gid, _)) = &setup.become_user {
            rustix::thread::set_thread_groups(&groups)?;
            rustix::thread::set_thread_gid(Gid::from_raw(*gid))?;
            rustix::thread::set_thread_uid(Uid::from_raw(*uid))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only; it takes no lock and no memory, as everything
    // that it reads was made before.
    unsafe {
        command.pre_exec(child);
    }
}

/// Where [`note_signal`] writes to; negative: nowhere.
static SIGNALS_TO: AtomicI32 = AtomicI32::new(-1);

/// Catches these signals from now on: each is a byte, its number, in the pipe that is returned. To be called once.
pub(crate) fn signals_of(signals: &[Signal]) -> io::Result<OwnedFd> {
    let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // A handler never waits; a full pipe has orders enough.
    rustix::io::ioctl_fionbio(&writing, true)?;
    SIGNALS_TO.store(writing.into_raw_fd(), Ordering::Relaxed);
    for signal in signals {
        // SAFETY: all bytes zero is a `struct sigaction`: no flag, an empty mask, the default action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the kernel reads one `struct sigaction`, and the handler makes one system call, which signal-safety(7) allows.
        if unsafe { libc::sigaction(signal.as_raw(), &raw const action, std::ptr::null_mut()) } != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(reading)
}

extern "C" fn note_signal(number: libc::c_int) {
    let byte = number as u8;
    // SAFETY: it writes one byte from where one is. The descriptor was given up to this handler and is never closed.
    unsafe {
        let before = *libc::__errno_location();
        libc::write(
            SIGNALS_TO.load(Ordering::Relaxed),
            (&raw const byte).cast(),
            1,
        );
        *libc::__errno_location() = before;
    }
}

/// A signal by its number, 1 to 64.
pub(crate) fn signal(number: u8) -> Option<Signal> {
    if let Some(named) = Signal::from_named_raw(i32::from(number)) {
        return Some(named);
    }
    if (34..=64).contains(&number) {
        // SAFETY: real-time signals that the C library keeps for itself are 32 and 33 only; they are left out.
        return Some(unsafe { Signal::from_raw_unchecked(i32::from(number)) });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_this_machines_clock_is_read() {
        let tick_us = clock_pace().unwrap().tick_us;
        assert!((9_000..=11_000).contains(&tick_us), "{tick_us}");
    }

    #[test]
    fn a_caught_signal_is_its_number_in_the_pipe() {
        let caught = Signal::from_named_raw(libc::SIGURG).unwrap();
        let pipe = signals_of(&[caught]).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), caught).unwrap();
        let mut number = [0; 4];
        assert_eq!(rustix::io::read(&pipe, &mut number).unwrap(), 1);
        assert_eq!(i32::from(number[0]), libc::SIGURG);
    }

    #[test]
    fn signals_have_their_numbers() {
        assert_eq!(signal(15), Some(Signal::TERM));
        assert_eq!(signal(38).map(Signal::as_raw), Some(38));
        for none in [0, 32, 33, 65, 255] {
            assert_eq!(signal(none), None, "{none}");
        }
    }
}
