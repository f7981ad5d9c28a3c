//! The machine and the session: memory, ports, clock, and what outlives a logout.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use banger_api::ByteSize;
use banger_api::doctor::Check;

use crate::paths::Paths;
use crate::private::own_uid;

/// Free memory below which a guest with systemd is likely to be short, in bytes.
const MEMORY_LOW: u64 = 1 << 30;
/// A clock that is this much behind the making of this program is wrong: two machines may differ by minutes.
const CLOCK_SLACK: Duration = Duration::from_secs(60 * 60);

pub(super) fn checks(paths: &Paths) -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let program = std::env::current_exe().and_then(fs::metadata);
    let made = program.and_then(|meta| meta.modified()).ok();
    let mut checks = vec![
        memory(&read("/proc/meminfo")),
        ports(&read("/proc/sys/net/ipv4/ip_unprivileged_port_start")),
        clock(SystemTime::now(), made),
    ];
    checks.extend(lingering(paths.run(), Path::new("/var/lib/systemd/linger")));
    checks
}

fn memory(meminfo: &str) -> Check {
    let available = meminfo.lines().find_map(|line| {
        let rest = line.strip_prefix("MemAvailable:")?;
        let kib = rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
        Some(kib.saturating_mul(1024))
    });
    let Some(available) = available else {
        return Check::warn(
            "memory",
            "/proc/meminfo does not say what is free",
            "look with free",
        );
    };
    let cause = format!("{} free", ByteSize(available));
    match available >= MEMORY_LOW {
        true => Check::ok("memory", cause),
        false => Check::warn(
            "memory",
            cause,
            "stop what is not needed (banger ps), or give VMs less: --memory 512M",
        ),
    }
}

fn ports(unprivileged: &str) -> Check {
    let first = unprivileged.trim().parse::<u32>().unwrap_or(1024);
    let cause = match (own_uid(), first) {
        (0, _) | (_, 0 | 1) => "every port of this host can be published".to_owned(),
        (_, first) => format!("ports from {first} can be published; lower ones are root's"),
    };
    Check::ok("ports", cause)
}

fn clock(now: SystemTime, made: Option<SystemTime>) -> Check {
    let behind = made.and_then(|made| made.duration_since(now).ok());
    match behind.filter(|behind| *behind > CLOCK_SLACK) {
        None => Check::ok("clock", "it is later than the making of this program"),
        Some(behind) => Check::warn(
            "clock",
            format!(
                "it is {} h behind the making of this program: certificates of registries will not be valid yet",
                behind.as_secs() / 3600
            ),
            "set the clock: timedatectl set-ntp true",
        ),
    }
}

/// A runtime folder of the login manager goes with the user's last session, and with it the way to running VMs
/// (pam_systemd(8)); only a user who lingers keeps it.
fn lingering(run: &Path, lingers: &Path) -> Option<Check> {
    let folder = run.strip_prefix("/run/user").ok()?;
    let uid: u32 = folder
        .components()
        .next()?
        .as_os_str()
        .to_str()?
        .parse()
        .ok()?;
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })?;
    Some(match lingers.join(user).exists() {
        true => Check::ok("lingering", "VMs can be reached after your last logout"),
        false => Check::warn(
            "lingering",
            "your last logout takes away the runtime folder: VMs that run then can only be killed",
            "loginctl enable-linger; or set BANGER_HOME",
        ),
    })
}

#[cfg(test)]
mod tests {
    use banger_api::doctor::Status;

    use super::*;

    #[test]
    fn little_memory_is_a_warning_and_an_unreadable_number_too() {
        let low = memory("MemTotal: 9 kB\nMemAvailable:     1000 kB\n");
        assert_eq!(low.status, Status::Warn);
        assert!(low.cause.starts_with("1000 KiB"), "{}", low.cause);
        assert_eq!(memory("MemAvailable: 4000000 kB\n").status, Status::Ok);
        for odd in ["", "MemAvailable: x kB", "MemAvailable: 5"] {
            assert_eq!(memory(odd).status, Status::Warn, "{odd:?}");
        }
    }

    #[test]
    fn a_clock_before_the_making_of_this_program_is_wrong() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hours = |n: u64| Duration::from_secs(n * 3600);
        assert_eq!(clock(now, None).status, Status::Ok);
        assert_eq!(clock(now, Some(now - hours(5))).status, Status::Ok);
        assert_eq!(clock(now, Some(now + CLOCK_SLACK)).status, Status::Ok);
        let behind = clock(now, Some(now + hours(5)));
        assert_eq!(behind.status, Status::Warn);
        assert!(behind.cause.contains("5 h behind"), "{}", behind.cause);
    }

    #[test]
    fn lingering_matters_only_in_the_login_manager_s_runtime_folder() {
        let lingers = tempfile::tempdir().unwrap();
        let status = |run: &str| {
            let check = lingering(Path::new(run), lingers.path());
            check.map(|check| check.status)
        };
        assert_eq!(status("/home/u/.banger/run"), None);
        assert_eq!(status("/run/user/x/banger"), None);
        assert_eq!(status("/run/user/0/banger"), Some(Status::Warn));
        fs::write(lingers.path().join("root"), "").unwrap();
        assert_eq!(status("/run/user/0/banger"), Some(Status::Ok));
    }
}
