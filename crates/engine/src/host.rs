//! Abilities of this host for VMs: processors, memory, virtualisation, clock.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::time::ClockId;

use crate::{Accel, sys};

/// Facts of the host, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Processors that this process may use (affinity and cgroup quota counted).
    pub cpus: usize,
    /// Memory of the machine, MiB.
    pub memory_mib: u64,
    /// `vmx` or `svm` if the CPU has hardware virtualisation.
    pub virtualisation_flag: Option<&'static str>,
    /// Accelerator that can run guests.
    pub accel: Accel,
    /// Reason for it, in a sentence for `doctor`.
    pub accel_reason: String,
}

impl HostFacts {
    /// Reads the facts from `/proc`, `/dev/kvm` and sysinfo(2). Unreadable ones count as absent.
    #[must_use]
    pub fn read() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let virtualisation_flag = virtualisation_flag(&cpuinfo);
        let (accel, accel_reason) = choose_accel(virtualisation_flag, open_kvm().err());
        let system = rustix::system::sysinfo();
        #[allow(
            clippy::unnecessary_cast,
            reason = "the field's width depends on the architecture"
        )]
        let bytes = system.totalram as u64 * u64::from(system.mem_unit);
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: bytes >> 20,
            virtualisation_flag,
            accel,
            accel_reason,
        }
    }
}

fn open_kvm() -> io::Result<std::fs::File> {
    OpenOptions::new().read(true).write(true).open("/dev/kvm")
}

fn virtualisation_flag(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    let mut words = flags.split_ascii_whitespace();
    words.find_map(|word| ["vmx", "svm"].into_iter().find(|flag| word == *flag))
}

/// Chooses by the CPU's flag, not by the file: without the flag, `/dev/kvm` may open, make VMs, and then hang in the
/// guest's kernel.
fn choose_accel(flag: Option<&str>, kvm: Option<io::Error>) -> (Accel, String) {
    match (flag, kvm) {
        (Some(flag), None) => (Accel::Kvm, format!("the CPU has {flag} and /dev/kvm opens")),
        (Some(flag), Some(e)) if e.kind() == io::ErrorKind::NotFound => (
            Accel::Tcg,
            format!("the CPU has {flag} but there is no /dev/kvm (load kernel module kvm_intel or kvm_amd); using emulation"),
        ),
        (Some(flag), Some(e)) if e.kind() == io::ErrorKind::PermissionDenied => (
            Accel::Tcg,
            format!("the CPU has {flag} but this user may not open /dev/kvm (join group kvm); using emulation"),
        ),
        (Some(flag), Some(e)) => {
            (Accel::Tcg, format!("the CPU has {flag} but /dev/kvm does not open ({e}); using emulation"))
        }
        (None, None) => (
            Accel::Tcg,
            "the CPU has no vmx or svm flag: /dev/kvm is virtualised in software here and hangs; using emulation".to_owned(),
        ),
        (None, Some(_)) => (Accel::Tcg, "the CPU has no vmx or svm flag; using emulation".to_owned()),
    }
}

/// Frequency of the time stamp counter in kHz, if the host's own kernel uses that counter as its clock. Takes 4 ms.
pub(crate) fn tsc_khz() -> Option<u32> {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    if std::fs::read_to_string(SOURCE).ok()?.trim() != "tsc" {
        return None;
    }
    let (cycles_before, ns_before) = instant()?;
    std::thread::sleep(Duration::from_millis(4));
    let (cycles_after, ns_after) = instant()?;
    khz(
        cycles_after.checked_sub(cycles_before)?,
        ns_after.checked_sub(ns_before)?,
    )
}

fn khz(cycles: u64, ns: u64) -> Option<u32> {
    let khz = u128::from(cycles) * 1_000_000 / u128::from(ns.max(1));
    // Values outside of this range come from something other than a CPU's counter.
    u32::try_from(khz)
        .ok()
        .filter(|khz| (100_000..=20_000_000).contains(khz))
}

/// The counter and the clock at the same moment: of several tries the one with the least time between the two reads.
fn instant() -> Option<(u64, u64)> {
    let once = || {
        let before = sys::time_stamp()?;
        let clock = rustix::time::clock_gettime(ClockId::MonotonicRaw);
        let after = sys::time_stamp()?;
        let ns = u64::try_from(clock.tv_sec).ok()? * 1_000_000_000
            + u64::try_from(clock.tv_nsec).ok()?;
        let width = after.checked_sub(before)?;
        Some((width, before + width / 2, ns))
    };
    let best = (0..8).filter_map(|_| once()).min()?;
    Some((best.1, best.2))
}

/// Finds a program in `PATH`, then in the folders of system packages.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/local/bin"].map(PathBuf::from))
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|file| {
            rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_a_whole_word_of_the_flags_line() {
        assert_eq!(virtualisation_flag("flags\t\t: fpu vmx sse\n"), Some("vmx"));
        assert_eq!(virtualisation_flag("flags : svm\n"), Some("svm"));
        assert_eq!(
            virtualisation_flag("flags : avmx svm_lock\nvmx flags: vmx\n"),
            None
        );
        assert_eq!(virtualisation_flag(""), None);
    }

    #[test]
    fn kvm_needs_both_the_flag_and_the_device() {
        let missing = || Some(io::Error::from(io::ErrorKind::NotFound));
        let denied = || Some(io::Error::from(io::ErrorKind::PermissionDenied));
        let cases = [
            (Some("vmx"), None, Accel::Kvm, "opens"),
            (Some("svm"), missing(), Accel::Tcg, "kvm_amd"),
            (Some("vmx"), denied(), Accel::Tcg, "group kvm"),
            (None, None, Accel::Tcg, "hangs"),
            (None, missing(), Accel::Tcg, "no vmx or svm"),
            (None, denied(), Accel::Tcg, "no vmx or svm"),
        ];
        for (flag, error, accel, hint) in cases {
            let (chosen, reason) = choose_accel(flag, error);
            assert_eq!(chosen, accel, "{reason}");
            assert!(reason.contains(hint), "{reason}");
        }
    }

    #[test]
    fn this_host_has_processors_and_memory() {
        let facts = HostFacts::read();
        assert!(facts.cpus >= 1 && facts.memory_mib >= 128, "{facts:?}");
    }

    #[test]
    fn a_frequency_that_no_cpu_has_is_not_believed() {
        assert_eq!(khz(10_400_000, 4_000_000), Some(2_600_000));
        assert_eq!(khz(10, 4_000_000), None);
        assert_eq!(khz(u64::MAX, 1), None);
        assert_eq!(khz(0, 0), None);
    }

    #[test]
    fn two_measurements_of_the_counter_agree_within_a_tenth_of_a_percent() {
        // A host with another clock gives none, both times.
        match (tsc_khz(), tsc_khz()) {
            (Some(a), Some(b)) => assert!(a.abs_diff(b) < a / 1000, "{a} {b}"),
            (a, b) => assert_eq!(a, b),
        }
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find_program("sh").unwrap().is_absolute());
        assert_eq!(find_program("no-such-program-of-any-package"), None);
    }
}
