//! Use of the guest by the host's commands, by their control groups: also what a command has started as a daemon counts as its.

use std::collections::HashSet;
use std::path::Path;

use banger_guest::CommandStats;
use banger_guest::limits::MAX_COMMAND_STATS;

use crate::cgroup;

/// Bytes of a page, in which the kernel counts resident memory here (x86-64).
const PAGE: u64 = 4096;

/// The commands of the groups in `groups` that have a process, the largest users of CPU time first.
#[must_use]
pub fn collect(groups: &Path, proc: &Path) -> Vec<CommandStats> {
    let mut found: Vec<CommandStats> = cgroup::below(groups)
        .filter_map(|group| of_group(&group, proc))
        .collect();
    found.sort_by_key(|command| (std::cmp::Reverse(command.cpu_ms), command.pid));
    found.truncate(MAX_COMMAND_STATS);
    found
}

fn of_group(group: &Path, proc: &Path) -> Option<CommandStats> {
    let members = cgroup::members_of(group);
    let (pid, command) = oldest(&members, proc)?;
    // Also of processes that have ended, and without any controller (Documentation/admin-guide/cgroup-v2.rst, "cpu.stat").
    let cpu = std::fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
    let us = cpu
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse::<u64>().ok());
    let memory = members
        .iter()
        .map(|pid| resident(&proc.join(pid.to_string())));
    Some(CommandStats {
        pid,
        command,
        processes: u32::try_from(members.len()).unwrap_or(u32::MAX),
        cpu_ms: us.unwrap_or(0) / 1000,
        memory: memory.sum(),
    })
}

/// Pid and words of the process that was started first.
fn oldest(members: &HashSet<i32>, proc: &Path) -> Option<(u32, String)> {
    let started = |pid: &i32| {
        let stat = std::fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
        // Field 22; the name in field 2 may hold anything but its end (proc(5)).
        let fields = stat.rsplit_once(") ")?.1;
        let at: u64 = fields.split(' ').nth(19)?.parse().ok()?;
        Some((at, *pid))
    };
    let (_, pid) = members.iter().filter_map(started).min()?;
    let words = std::fs::read(proc.join(pid.to_string()).join("cmdline")).unwrap_or_default();
    let words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let words: Vec<_> = words.collect();
    Some((u32::try_from(pid).ok()?, words.join(" ").trim().to_owned()))
}

/// Resident memory of a process, in bytes; pages that several share count for each.
fn resident(process: &Path) -> u64 {
    let statm = std::fs::read_to_string(process.join("statm")).unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_command_is_its_oldest_process_and_all_that_it_has_started() {
        let (groups, proc) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (groups, proc) = (groups.path(), proc.path());
        put(groups, "90-1/cgroup.procs", "102\n101\n");
        put(groups, "90-1/below/cgroup.procs", "103\n");
        put(groups, "90-1/cpu.stat", "usage_usec 1500999\nuser_usec 7\n");
        put(groups, "90-2/cgroup.procs", "104\n");
        put(groups, "90-2/cpu.stat", "usage_usec 9000000\n");
        // Nothing lives there, or its process ended a moment ago.
        put(groups, "90-3/cgroup.procs", "");
        put(groups, "90-4/cgroup.procs", "105\n");
        for (pid, started, pages, words) in [
            (101, 500, 10, "make\0-j4\0"),
            (102, 700, 20, "cc\0"),
            (103, 600, 30, "sh\0"),
            (104, 1, 1, "serve\0a b\0"),
        ] {
            let zeros = "0 ".repeat(18);
            put(
                proc,
                &format!("{pid}/stat"),
                &format!("{pid} (a) b) S {zeros}{started} 0\n"),
            );
            put(
                proc,
                &format!("{pid}/statm"),
                &format!("999 {pages} 5 0 0 0 0\n"),
            );
            put(proc, &format!("{pid}/cmdline"), words);
        }
        let command = |pid, command: &str, processes, cpu_ms, pages| CommandStats {
            pid,
            command: command.to_owned(),
            processes,
            cpu_ms,
            memory: pages * PAGE,
        };
        let expected = [
            command(104, "serve a b", 1, 9000, 1),
            command(101, "make -j4", 3, 1500, 60),
        ];
        assert_eq!(collect(groups, proc), expected);
    }
}
