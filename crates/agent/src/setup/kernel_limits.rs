//! Limits as container engines and systemd set them, instead of the bare kernel's, which are those of a small machine of 1998.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::console::say;

/// Open files that a process may ask for (`fs.nr_open`; systemd gives services the same).
const OPEN_FILES: u64 = 1_048_576;
/// Memory that a process may lock, in bytes (systemd-system.conf(5), DefaultLimitMEMLOCK).
const LOCKED_BYTES: u64 = 8 << 20;

/// Settings below `/proc/sys`, and how they are set. Engines set the first two in every container (moby's daemon since
/// 20.10): ordinary users bind ports below 1024 and ping. The others are those of desktop distributions.
const SETTINGS: [(&str, Setting); 5] = [
    ("net/ipv4/ip_unprivileged_port_start", Setting::To("0")),
    ("net/ipv4/ping_group_range", Setting::To("0 2147483647")),
    ("fs/inotify/max_user_instances", Setting::AtLeast(8_192)),
    ("fs/inotify/max_user_watches", Setting::AtLeast(1_048_576)),
    ("vm/max_map_count", Setting::AtLeast(1_048_576)),
];

#[derive(Debug, Clone, Copy)]
enum Setting {
    To(&'static str),
    AtLeast(u64),
}

/// Sets the kernel's limits. One that a kernel does not know is left out; init's own sysctl settings come later and win.
pub fn set(proc_sys: &Path) {
    for (name, setting) in SETTINGS {
        let path = proc_sys.join(name);
        let value = match setting {
            Setting::To(value) => value.to_owned(),
            Setting::AtLeast(least) => {
                let now = std::fs::read_to_string(&path).unwrap_or_default();
                if now.trim().parse::<u64>().is_ok_and(|now| now >= least) {
                    continue;
                }
                least.to_string()
            }
        };
        if path.exists()
            && let Err(error) = std::fs::write(&path, value)
        {
            say(format_args!("{}: {error}", path.display()));
        }
    }
}

/// Raises the limits of this process, which its commands inherit: as systemd gives services (soft limits stay low, for
/// programs that use select(2); a program asks for more up to the hard one).
pub fn raise_own() {
    let hard = |resource, wanted: Option<u64>| {
        let now = getrlimit(resource);
        let current = match (now.current, wanted) {
            (None, Some(wanted)) => Some(wanted),
            (current, _) => current,
        };
        let limit = Rlimit {
            current,
            maximum: wanted,
        };
        if let Err(error) = setrlimit(resource, limit) {
            say(format_args!("limit {resource:?}: {error}"));
        }
    };
    hard(Resource::Nofile, Some(OPEN_FILES));
    hard(Resource::Memlock, Some(LOCKED_BYTES));
    hard(Resource::Core, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generous_already_stays_and_what_is_not_there_is_left_out() {
        let sys = tempfile::tempdir().unwrap();
        let at = |name: &str| sys.path().join(name);
        for folder in ["net/ipv4", "fs/inotify", "vm"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("net/ipv4/ip_unprivileged_port_start"), "1024\n").unwrap();
        std::fs::write(at("vm/max_map_count"), "65530\n").unwrap();
        std::fs::write(at("fs/inotify/max_user_watches"), "2000000\n").unwrap();
        set(sys.path());
        let now = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        assert_eq!(now("net/ipv4/ip_unprivileged_port_start"), "0");
        assert_eq!(now("vm/max_map_count"), "1048576");
        assert_eq!(now("fs/inotify/max_user_watches"), "2000000\n");
        assert!(!at("net/ipv4/ping_group_range").exists());
    }
}
