//! Counters of the kernel in `/proc`.

/// Times of all CPUs together since the boot, in ticks, from `/proc/stat` (proc_stat(5)): user, nice, system, idle, iowait,
/// irq, softirq, steal. `None` for a text of another form.
#[must_use]
pub fn cpu_ticks(stat: &str) -> Option<[u64; 8]> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut ticks = [0; 8];
    let mut words = line.split_ascii_whitespace();
    for tick in &mut ticks {
        *tick = words.next()?.parse().ok()?;
    }
    Some(ticks)
}

/// A line of `/proc/meminfo` in KiB (proc_meminfo(5)); `None` when it is not there or no number.
#[must_use]
pub fn meminfo_kib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
