//! The daemon is killed with SIGKILL at random moments of a VM's life, again and again. After each kill: the next
//! command works, the list matches the files and processes, and the user's data is whole.
//!
//! `CHAOS_ROUNDS` (default 20) sets the number of rounds and `CHAOS_SEED` their order; `make chaos` runs more rounds.
//! Without a seed the commit is the seed: each commit has its own rounds, and the same ones every time.

use std::time::Duration;

use banger_smoke::{Sandbox, eventually};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::guests::minimal;

/// The VM whose file must survive everything.
const KEEPER: &str = "keeper";
const NAMES: [&str; 2] = ["a", "b"];
const SOON: Duration = Duration::from_secs(60);

/// Numbers that are the same for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}

/// A number from the environment. A value that is not a number is an error, not a missing setting.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{name}={text}: {error}"),
    }
}

/// The first digits of the commit's id; sources without a repository have the same seed each time.
fn seed_of_commit() -> u64 {
    let head = std::process::Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output();
    let id = head.map(|git| String::from_utf8_lossy(&git.stdout).into_owned());
    let digits = id.as_deref().ok().and_then(|id| id.get(..12));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or(1)
}

/// A random action on a VM, and its longest duration in milliseconds: the kill comes within it.
fn next_action(random: &mut Random, sandbox: &Sandbox) -> (Vec<&'static str>, u64) {
    let vms = sandbox.vm_names();
    let name = NAMES[random.below(NAMES.len() as u64) as usize];
    if !vms.iter().any(|vm| vm == name) {
        return match random.below(3) {
            0 => (vec!["vm", "create", "--name", name], 5_000),
            _ => (vec!["vm", "create", "--no-start", "--name", name], 120),
        };
    }
    match (sandbox.state(name).as_str(), random.below(3)) {
        ("running", 0) => (vec!["vm", "stop", name], 2_500),
        ("running", 1) => (vec!["vm", "kill", name], 200),
        ("running", _) => (vec!["vm", "delete", "--force", name], 300),
        (_, 0) => (vec!["vm", "delete", name], 120),
        (_, _) => (vec!["vm", "start", name], 5_000),
    }
}

/// Checks that every listed VM exists, and that every existing one is listed.
fn check(sandbox: &Sandbox, round: u64) {
    let list = sandbox.banger(&["ps", "--json"]).ok().json();
    let vms = list.as_array().cloned().unwrap_or_default();
    let in_state = |state: &str| vms.iter().filter(|vm| vm["state"] == state).count();
    for vm in &vms {
        let state = vm["state"].as_str().unwrap_or_default();
        assert!(
            ["created", "running", "stopped", "error"].contains(&state),
            "round {round}: no operation runs and a VM is {state}: {vm}"
        );
    }
    eventually("as many VMMs as running VMs", SOON, || {
        (sandbox.vmm_pids().len() == in_state("running")).then_some(())
    });
    let folders =
        std::fs::read_dir(sandbox.banger_home().join("state/vms")).map_or(0, Iterator::count);
    assert_eq!(
        folders,
        vms.len(),
        "round {round}: folders of VMs beside {list}"
    );
    let owned = sandbox.banger(&["system", "status", "--json"]).ok().json();
    let resources = owned["resources"].as_array().cloned().unwrap_or_default();
    let unclaimed: Vec<&Value> = resources
        .iter()
        .filter(|r| r["claimed_by"].is_null())
        .collect();
    assert!(
        unclaimed.is_empty(),
        "round {round}: nothing claims {unclaimed:?}"
    );
}

#[test]
fn a_daemon_killed_at_random_moments_loses_nothing_and_leaves_nothing() {
    let rounds = setting("CHAOS_ROUNDS").unwrap_or(20);
    let seed = setting("CHAOS_SEED").unwrap_or_else(seed_of_commit);
    println!("again: CHAOS_SEED={seed} CHAOS_ROUNDS={rounds}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let sandbox = Sandbox::new();
    minimal(&sandbox, &["vm", "create", "--name", KEEPER], &[]).ok();
    sandbox.in_guest(KEEPER, "echo precious > /root/mark; sync");
    sandbox.banger(&["vm", "stop", KEEPER]).ok();

    for round in 0..rounds {
        let (words, takes) = next_action(&mut random, &sandbox);
        let daemon = sandbox.daemon_pid();
        let is_create = words.contains(&"create");
        let command = match is_create {
            true => minimal(&sandbox, &words, &[]),
            false => sandbox.banger(&words),
        };
        println!("round {round}: {words:?}");
        let running = command.start();
        // The random moment is the purpose of this wait.
        std::thread::sleep(Duration::from_millis(random.below(takes)));
        if let Err(error) = kill_process(daemon, Signal::KILL) {
            panic!("round {round}: cannot kill the daemon: {error}");
        }
        running.wait();
        check(&sandbox, round);
    }

    sandbox.banger(&["vm", "start", KEEPER]).ok();
    assert_eq!(sandbox.in_guest(KEEPER, "cat /root/mark"), "precious");
    for name in sandbox.vm_names() {
        sandbox.banger(&["vm", "delete", "--force", &name]).ok();
    }
    sandbox.assert_no_vm();
}
