//! Load, memory and disks.

use std::path::Path;

use banger_guest::{CpuTimes, DiskStats, Failure, GuestStats, MemoryStats};

use super::{commands, counters};
use crate::failure::failure;

/// Clock ticks in a millisecond's ten: `USER_HZ` is 100 on every architecture that we run on (times(2)).
const MS_PER_TICK: u64 = 10;

/// Collects everything; commands are those of the control groups in `groups`.
///
/// # Errors
/// Names the file of `/proc` that cannot be read.
pub fn collect(groups: Option<&Path>) -> Result<GuestStats, Failure> {
    let stat = read("/proc/stat")?;
    let (load, processes) = parse_load(&read("/proc/loadavg")?);
    let uptime = read("/proc/uptime")?;
    let seconds: f64 = uptime
        .split(' ')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0.0);
    Ok(GuestStats {
        cpu: parse_cpu(&stat),
        cpus: u32::try_from(stat.lines().filter(|line| is_cpu(line)).count()).unwrap_or(u32::MAX),
        memory: parse_memory(&read("/proc/meminfo")?),
        disks: disks(),
        load,
        uptime_ms: (seconds * 1000.0) as u64,
        processes,
        boot_id: boot_id(),
        commands: groups
            .map(|groups| commands::collect(groups, Path::new("/proc")))
            .unwrap_or_default(),
    })
}

/// The boot's id, empty before `/proc` is there.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The release of the kernel that runs, as `uname -r` prints it: the name of its directory in `/lib/modules`.
#[must_use]
pub fn kernel_release() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

fn read(path: &'static str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| failure("stats", format!("read {path}"), error))
}

fn is_cpu(line: &str) -> bool {
    line.strip_prefix("cpu")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn parse_cpu(stat: &str) -> CpuTimes {
    let ticks = counters::cpu_ticks(stat).unwrap_or_default();
    let ms = |index: usize| ticks[index] * MS_PER_TICK;
    CpuTimes {
        user_ms: ms(0) + ms(1),
        system_ms: ms(2) + ms(5) + ms(6),
        idle_ms: ms(3),
        iowait_ms: ms(4),
        steal_ms: ms(7),
    }
}

fn parse_memory(meminfo: &str) -> MemoryStats {
    let bytes = |name: &str| counters::meminfo_kib(meminfo, name).unwrap_or(0) * 1024;
    MemoryStats {
        total: bytes("MemTotal"),
        free: bytes("MemFree"),
        available: bytes("MemAvailable"),
        cached: bytes("Cached") + bytes("Buffers"),
        swap_total: bytes("SwapTotal"),
        swap_free: bytes("SwapFree"),
    }
}

fn parse_load(loadavg: &str) -> ([f64; 3], u32) {
    let fields: Vec<&str> = loadavg.split_ascii_whitespace().collect();
    let load = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse().ok())
            .unwrap_or(0.0)
    };
    let processes = fields
        .get(3)
        .and_then(|field| field.split_once('/')?.1.parse().ok())
        .unwrap_or(0);
    ([load(0), load(1), load(2)], processes)
}

fn disks() -> Vec<DiskStats> {
    let mut seen = Vec::new();
    for mount in ["/", "/root"] {
        let Ok(stat) = rustix::fs::statvfs(mount) else {
            continue;
        };
        let device = rustix::fs::stat(mount)
            .map(|stat| stat.st_dev)
            .unwrap_or_default();
        // Without a work disk, `/root` is part of `/`.
        if seen.iter().any(|(_, known)| *known == device) {
            continue;
        }
        let disk = DiskStats {
            mount: mount.to_owned(),
            total: stat.f_blocks * stat.f_frsize,
            free: stat.f_bfree * stat.f_frsize,
            available: stat.f_bavail * stat.f_frsize,
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
        };
        seen.push((disk, device));
    }
    seen.into_iter().map(|(disk, _)| disk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_plausible_numbers() {
        let stats = collect(None).unwrap();
        assert!(stats.cpus > 0 && stats.memory.total > stats.memory.free && stats.uptime_ms > 0);
        assert!(
            stats
                .disks
                .iter()
                .any(|disk| disk.mount == "/" && disk.total > 0)
        );
    }

    #[test]
    fn cpu_times_are_milliseconds() {
        let times = parse_cpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
        let expected = CpuTimes {
            user_ms: 30,
            system_ms: 160,
            idle_ms: 40,
            iowait_ms: 50,
            steal_ms: 80,
        };
        assert_eq!(times, expected);
    }
}
