//! Report of a guest about itself. It may lie: show it, never act on it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Use of a guest's resources, in its own words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuestUse {
    /// CPU time since its boot, summed over all CPUs.
    pub cpu: GuestCpu,
    /// CPUs online.
    pub cpus: u32,
    /// Memory.
    pub memory: GuestMemory,
    /// The disks at `/` and `/root`.
    pub disks: Vec<GuestDisk>,
    /// Load over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Time since its boot, in ms.
    pub uptime_ms: u64,
    /// Processes and threads that exist.
    pub processes: u32,
    /// New at every boot.
    pub boot_id: String,
    /// The commands of `exec`, `run` and their like that run there, the largest users of CPU time first, at most 64.
    #[serde(default)]
    pub commands: Vec<GuestCommand>,
}

/// Use of a guest by one command, with all that it has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestCommand {
    /// Pid of its oldest process.
    pub pid: u32,
    /// Words of that process.
    pub command: String,
    /// Processes that it has.
    pub processes: u32,
    /// CPU time in ms, with that of processes that have ended.
    pub cpu_ms: u64,
    /// Resident memory in bytes; pages that several processes share count for each.
    pub memory_bytes: u64,
}

/// CPU time of a guest since its boot, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct GuestCpu {
    /// In user mode.
    pub user_ms: u64,
    /// In the kernel, interrupts included.
    pub system_ms: u64,
    /// Idle.
    pub idle_ms: u64,
    /// Idle while a disk worked.
    pub iowait_ms: u64,
    /// Wanted by the guest, given to others by the host.
    pub steal_ms: u64,
}

/// Memory of a guest in bytes. Older daemons send the names without a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct GuestMemory {
    /// All that its kernel manages.
    #[serde(alias = "total")]
    pub total_bytes: u64,
    /// Unused.
    #[serde(alias = "free")]
    pub free_bytes: u64,
    /// Memory that programs could still get.
    #[serde(alias = "available")]
    pub available_bytes: u64,
    /// Page cache and buffers.
    #[serde(alias = "cached")]
    pub cached_bytes: u64,
    /// Swap space.
    #[serde(alias = "swap_total")]
    pub swap_total_bytes: u64,
    /// Unused swap space.
    #[serde(alias = "swap_free")]
    pub swap_free_bytes: u64,
}

/// A file system of a guest, in bytes and inodes. Older daemons send the names without a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestDisk {
    /// The place where it is mounted.
    pub mount: String,
    /// Its size.
    #[serde(alias = "total")]
    pub total_bytes: u64,
    /// Unused, with what is reserved for root.
    #[serde(alias = "free")]
    pub free_bytes: u64,
    /// Room that users can still write.
    #[serde(alias = "available")]
    pub available_bytes: u64,
    /// Its inodes.
    pub inodes: u64,
    /// Unused inodes.
    pub inodes_free: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_say_that_they_are_bytes_and_an_older_daemon_s_are_read() {
        let memory = GuestMemory {
            total_bytes: 7,
            ..GuestMemory::default()
        };
        let json = serde_json::to_value(memory).unwrap();
        let named = json.as_object().unwrap().keys();
        assert!(
            named.clone().all(|name| name.ends_with("_bytes")),
            "{named:?}"
        );
        let older = r#"{"total":7,"free":0,"available":0,"cached":0,"swap_total":0,"swap_free":0}"#;
        assert_eq!(serde_json::from_str::<GuestMemory>(older).unwrap(), memory);
        let older = r#"{"mount":"/","total":1,"free":2,"available":3,"inodes":4,"inodes_free":5}"#;
        let disk: GuestDisk = serde_json::from_str(older).unwrap();
        assert_eq!((disk.total_bytes, disk.available_bytes), (1, 3));
    }
}
