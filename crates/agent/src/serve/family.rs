//! A command and everything that it has started, as far as it can be told.
//!
//! Members are the processes of the command's session, their children wherever these went, and whoever was a member at an
//! earlier look; and whoever is in the command's control group. In a guest without one, a process that left the session and
//! whose parent is gone before the first look is none.

use std::collections::HashSet;

use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::CommandGroup;

/// A process; its start tells it from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    pid: i32,
    started: u64,
}

/// The kernel's words on a process (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    process: Process,
    parent: i32,
    session: i32,
    dead: bool,
}

/// The processes of one command.
#[derive(Debug)]
pub(super) struct Family<'a> {
    leader: i32,
    group: Option<&'a CommandGroup>,
    known: HashSet<Process>,
}

impl<'a> Family<'a> {
    /// Of the command whose session has the number `leader`.
    pub(super) fn of(leader: Pid, group: Option<&'a CommandGroup>) -> Self {
        let leader = leader.as_raw_nonzero().get();
        Self {
            leader,
            group,
            known: HashSet::new(),
        }
    }

    /// Sends a signal to all members; answers whether there were any.
    pub(super) fn signal(&mut self, signal: Signal) -> bool {
        self.look();
        if signal == Signal::KILL {
            // One call that reaches also what is being forked; members are signalled below where there is none.
            let _ = self.group.is_some_and(CommandGroup::kill);
        }
        for member in &self.known {
            if let Some(pid) = Pid::from_raw(member.pid) {
                // It may have ended just now.
                let _ = kill_process(pid, signal);
            }
        }
        !self.known.is_empty()
    }

    /// Tells whether no member lives.
    pub(super) fn is_gone(&mut self) -> bool {
        self.look();
        self.known.is_empty()
    }

    fn look(&mut self) {
        let all = all();
        let grouped = self.group.map(CommandGroup::members).unwrap_or_default();
        let inside = all
            .iter()
            .filter(|stat| grouped.contains(&stat.process.pid));
        self.known.extend(inside.map(|stat| stat.process));
        self.known = members(self.leader, &self.known, &all);
    }
}

fn members(leader: i32, known: &HashSet<Process>, all: &[Stat]) -> HashSet<Process> {
    let living = || all.iter().filter(|stat| !stat.dead);
    let mut found: HashSet<Process> = living()
        .filter(|stat| stat.session == leader || known.contains(&stat.process))
        .map(|stat| stat.process)
        .collect();
    loop {
        let parents: HashSet<i32> = found.iter().map(|process| process.pid).collect();
        let before = found.len();
        let children = living().filter(|stat| parents.contains(&stat.parent));
        found.extend(children.map(|stat| stat.process));
        if found.len() == before {
            return found;
        }
    }
}

fn all() -> Vec<Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            entry.file_name().to_str()?.parse::<i32>().ok()?;
            parse(&std::fs::read_to_string(entry.path().join("stat")).ok()?)
        })
        .collect()
}

fn parse(text: &str) -> Option<Stat> {
    // The name may hold blanks and parentheses.
    let (head, rest) = text.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse().ok();
    Some(Stat {
        process: Process {
            pid,
            started: fields.get(19)?.parse().ok()?,
        },
        parent: number(1)?,
        session: number(3)?,
        dead: matches!(*fields.first()?, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: i32, parent: i32, session: i32) -> Stat {
        let started = 1;
        Stat {
            process: Process { pid, started },
            parent,
            session,
            dead: false,
        }
    }

    fn pids(found: &HashSet<Process>) -> Vec<i32> {
        let mut pids: Vec<i32> = found.iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name() {
        let line = "12 (a b) c) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 2";
        let stat = parse(line).unwrap();
        assert_eq!((stat.process.pid, stat.parent, stat.session), (12, 3, 5));
        assert_eq!((stat.process.started, stat.dead), (99, false));
        for bad in ["", "12", "x (a) S 1", "12 (a) S 1 2"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_session_its_children_elsewhere_and_known_members_are_found() {
        let all = [
            stat(1, 0, 1),
            stat(10, 1, 10),
            stat(11, 10, 10),
            stat(12, 11, 12),
            stat(13, 12, 12),
            stat(20, 1, 20),
        ];
        let found = members(10, &HashSet::new(), &all);
        assert_eq!(pids(&found), [10, 11, 12, 13]);
        // Its parent is gone: only an earlier look tells that it belongs to them.
        let orphan = [stat(1, 0, 1), stat(12, 1, 12)];
        assert!(members(10, &HashSet::new(), &orphan).is_empty());
        assert_eq!(pids(&members(10, &found, &orphan)), [12]);
        // Another process with the number of an old one is a stranger.
        let mut stranger = stat(12, 1, 12);
        stranger.process.started = 2;
        assert!(members(10, &found, &[stranger]).is_empty());
    }
}
