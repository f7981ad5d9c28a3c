//! Reports of a guest about itself. A hostile guest may lie in all of it: show it, never act on it alone.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A socket that waits for peers in the guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// Its protocol.
    pub protocol: TransportProtocol,
    /// The address that it is bound to; an unspecified one means all.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The process that holds it, if one was found.
    pub pid: Option<u32>,
    /// Name of that process (`/proc/PID/comm`).
    pub process: Option<String>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportProtocol {
    /// A listening TCP socket.
    Tcp,
    /// A bound, unconnected UDP socket.
    Udp,
}

/// Load, memory and disks of a guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuestStats {
    /// CPU times since boot, summed over all CPUs.
    pub cpu: CpuTimes,
    /// CPUs online.
    pub cpus: u32,
    /// Memory.
    pub memory: MemoryStats,
    /// The disks at `/` and `/root`.
    pub disks: Vec<DiskStats>,
    /// Load over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Time since boot in milliseconds.
    pub uptime_ms: u64,
    /// Processes and threads that exist (`/proc/loadavg`).
    pub processes: u32,
    /// New at every boot.
    pub boot_id: String,
    /// The host's commands that run, the largest users of CPU time first, at most [`crate::limits::MAX_COMMAND_STATS`].
    #[serde(default)]
    pub commands: Vec<CommandStats>,
}

/// Use of a guest by one command of the host, with all that it has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStats {
    /// Pid of its oldest process.
    pub pid: u32,
    /// Words of that process.
    pub command: String,
    /// Processes that it has.
    pub processes: u32,
    /// CPU time in milliseconds, with that of processes that have ended.
    pub cpu_ms: u64,
    /// Resident memory in bytes; pages that several processes share count for each.
    pub memory: u64,
}

/// CPU time since boot in milliseconds (`/proc/stat`, proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CpuTimes {
    /// In user mode, nice included.
    pub user_ms: u64,
    /// In the kernel, interrupts included.
    pub system_ms: u64,
    /// Idle time.
    pub idle_ms: u64,
    /// Idle time during disk I/O.
    pub iowait_ms: u64,
    /// Time that the guest wanted and the host gave to others.
    pub steal_ms: u64,
}

/// Memory in bytes (`/proc/meminfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryStats {
    /// All that the kernel manages.
    pub total: u64,
    /// Unused.
    pub free: u64,
    /// Memory that programs could still get.
    pub available: u64,
    /// Page cache and buffers.
    pub cached: u64,
    /// Swap space.
    pub swap_total: u64,
    /// Unused swap space.
    pub swap_free: u64,
}

/// A file system in bytes and inodes (`statvfs(3)`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStats {
    /// Mount point.
    pub mount: String,
    /// Its size.
    pub total: u64,
    /// Unused bytes, those reserved for root included.
    pub free: u64,
    /// Bytes that users can still write.
    pub available: u64,
    /// Its inodes.
    pub inodes: u64,
    /// Unused inodes.
    pub inodes_free: u64,
}
