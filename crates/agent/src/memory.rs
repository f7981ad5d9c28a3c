//! Memory that the guest does not use goes back to the host.
//!
//! ```text
//!  freed pages ──► driver virtio_balloon reports them ──► the VMM drops them
//!  page cache of an idle guest ──► dropped here ──► freed pages
//! ```
//!
//! The report costs the guest nothing to speak of. The cache is dropped only when nothing has run for a while, and only when
//! it is large: what it holds of an image is in the host's own cache as well. What is not written back yet does not count:
//! it cannot be dropped, and is cache that has grown when it is.

use std::fs;
use std::io;
use std::time::Duration;

use crate::console::say;
use crate::modprobe;
use crate::report::counters::{cpu_ticks, meminfo_kib};

/// The driver (virtio specification 1.2, 5.5): with `VIRTIO_BALLOON_F_PAGE_REPORTING` it reports free pages.
const DRIVER: &str = "virtio_balloon";
/// The kernel's list of devices on the virtio bus, by numbers.
const DEVICES: &str = "/sys/bus/virtio/devices";
/// Number of a memory balloon among virtio devices (virtio specification 1.2, 5), as sysfs writes it.
const BALLOON: &str = "0x0005";
/// Drops clean page cache when `1` is written (proc_sys_vm(5)).
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Time between two looks.
const ROUND: Duration = Duration::from_secs(10);
/// Looks in a row that find the guest idle before its cache is dropped.
const QUIET_ROUNDS: u32 = 2;
/// Share of the time that the CPUs of an idle guest rest, in percent.
const RESTING_PERCENT: u64 = 95;
/// Page cache that an idle guest may keep, in KiB. It is also the growth after which it is dropped again.
const KEPT_KIB: u64 = 96 * 1024;

/// Loads the driver, when the VMM has the device. A guest without it keeps what it has touched.
pub fn load_driver() {
    if !has_balloon() {
        return;
    }
    if let Err(error) = modprobe::load(DRIVER) {
        say(format_args!(
            "freed memory stays with this guest: module {DRIVER}: {error}"
        ));
    }
}

fn has_balloon() -> bool {
    let devices = fs::read_dir(DEVICES).into_iter().flatten().flatten();
    devices
        .map(|device| device.path().join("device"))
        .any(|kind| fs::read_to_string(kind).is_ok_and(|kind| kind.trim() == BALLOON))
}

/// Drops the page cache whenever the guest has been idle for some rounds and the cache has grown. Never returns.
pub async fn give_back_when_idle() -> io::Result<()> {
    let mut watch = Watch::default();
    loop {
        tokio::time::sleep(ROUND).await;
        let (Some(cpu), Some(cache)) = (cpu_times(), cache_kib()) else {
            continue;
        };
        if watch.round(cpu, cache) {
            // Dropping takes as long as the cache is large.
            let dropped = tokio::task::spawn_blocking(drop_cache).await;
            if let Ok(Err(error)) = dropped {
                say(format_args!("cannot drop the page cache: {error}"));
            }
            watch.kept = cache_kib().unwrap_or(0);
        }
    }
}

fn drop_cache() -> io::Result<()> {
    // 4 keeps the kernel from logging each time (fs/drop_caches.c).
    fs::write(DROP_CACHES, "4")?;
    fs::write(DROP_CACHES, "1")
}

/// Times of all CPUs together since the boot, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CpuTimes {
    resting: u64,
    all: u64,
}

/// Memory of earlier looks.
#[derive(Debug, Default)]
struct Watch {
    last: CpuTimes,
    quiet: u32,
    /// Page cache that was left when it was last dropped, in KiB.
    kept: u64,
}

impl Watch {
    /// Tells whether the cache is to be dropped now.
    fn round(&mut self, cpu: CpuTimes, cache_kib: u64) -> bool {
        let all = cpu.all.saturating_sub(self.last.all);
        let resting = cpu.resting.saturating_sub(self.last.resting);
        self.last = cpu;
        match all > 0 && resting * 100 >= all * RESTING_PERCENT {
            true => self.quiet = self.quiet.saturating_add(1),
            false => self.quiet = 0,
        }
        self.kept = self.kept.min(cache_kib);
        self.quiet >= QUIET_ROUNDS && cache_kib > self.kept + KEPT_KIB
    }
}

fn cpu_times() -> Option<CpuTimes> {
    parse_cpu(&fs::read_to_string("/proc/stat").ok()?)
}

fn parse_cpu(stat: &str) -> Option<CpuTimes> {
    let ticks = cpu_ticks(stat)?;
    let [_, _, _, idle, iowait, ..] = ticks;
    Some(CpuTimes {
        resting: idle.saturating_add(iowait),
        all: ticks.iter().fold(0, |all, time| all.saturating_add(*time)),
    })
}

fn cache_kib() -> Option<u64> {
    parse_cache(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// Reads the droppable page cache in KiB from `/proc/meminfo` (proc_meminfo(5)): files in memory file systems count as cached
/// and cannot be dropped, and neither can what is not written back yet.
fn parse_cache(meminfo: &str) -> Option<u64> {
    let cached = meminfo_kib(meminfo, "Cached")?.checked_add(meminfo_kib(meminfo, "Buffers")?)?;
    let stays = ["Shmem", "Dirty", "Writeback"]
        .into_iter()
        .try_fold(0_u64, |sum, name| {
            sum.checked_add(meminfo_kib(meminfo, name)?)
        })?;
    Some(cached.saturating_sub(stays))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_and_nonsense_is_not() {
        let cpu = parse_cpu("cpu  10 1 5 100 4 0 1 2 0 0\ncpu0 1 1 1 1\n");
        assert_eq!(
            cpu,
            Some(CpuTimes {
                resting: 104,
                all: 123
            })
        );
        for odd in ["", "cpu", "cpu 1 2", "cpu a b c d e f g h", "intr 5"] {
            assert_eq!(parse_cpu(odd), None, "{odd:?}");
        }
        let meminfo = "MemTotal: 9 kB\nBuffers: 20 kB\nCached: 300 kB\nSwapCached: 7 kB\n\
                       Shmem: 100 kB\nDirty: 40 kB\nWriteback: 10 kB\n";
        assert_eq!(parse_cache(meminfo), Some(170));
        assert_eq!(parse_cache("Cached: 5 kB\n"), None);
        assert_eq!(
            parse_cache(&meminfo.replace("300", "18446744073709551615")),
            None
        );
    }

    /// The answers of a watch to rounds of ten seconds on two CPUs: percent that they rest, and KiB of cache.
    fn answers(rounds: &[(u64, u64)]) -> Vec<bool> {
        let (mut watch, mut cpu) = (Watch::default(), CpuTimes::default());
        let each = rounds.iter().map(|(percent, cache)| {
            cpu.all += 2000;
            cpu.resting += 20 * percent;
            let dropped = watch.round(cpu, *cache);
            if dropped {
                watch.kept = 1000;
            }
            dropped
        });
        each.collect()
    }

    #[test]
    fn a_large_cache_goes_when_the_guest_was_idle_twice_and_not_again_before_it_has_grown() {
        let large = KEPT_KIB * 2;
        assert_eq!(answers(&[(99, large), (99, large)]), [false, true]);
        assert_eq!(
            answers(&[(99, large), (50, large), (99, large)]),
            [false; 3]
        );
        assert_eq!(answers(&[(99, KEPT_KIB), (99, KEPT_KIB)]), [false; 2]);
        assert_eq!(
            answers(&[(99, large), (99, large), (99, 2000), (99, large)]),
            [false, true, false, true]
        );
    }
}
