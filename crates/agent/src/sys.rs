//! The calls into the kernel that Rust cannot check. Everything unsafe of this crate is in this file.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Opcode, Setter, opcode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Gid, Signal, Uid};
use tokio::io::unix::AsyncFd;

/// `EXT4_IOC_RESIZE_FS`, `_IOW('f', 16, __u64)` (fs/ext4/ext4.h).
const EXT4_IOC_RESIZE_FS: Opcode = opcode::write::<u64>(b'f', 16);
/// `RNDADDENTROPY`, `_IOW('R', 0x03, int[2])` (random(4)).
const RNDADDENTROPY: Opcode = opcode::write::<[i32; 2]>(b'R', 3);

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
    fn signals_have_their_numbers() {
        assert_eq!(signal(15), Some(Signal::TERM));
        assert_eq!(signal(38).map(Signal::as_raw), Some(38));
        for none in [0, 32, 33, 65, 255] {
            assert_eq!(signal(none), None, "{none}");
        }
    }
}
