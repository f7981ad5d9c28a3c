//! `banger ssh` to a VM that does not run.

use crate::fake_daemon::{Answer, FakeDaemon};
use crate::sample::{two_vms, vm};

/// The error of a host without an SSH client: `banger ssh` gets that far when the VM runs.
const NO_CLIENT: &str = "there is no SSH client on this host";

/// Output of `banger ssh` to this VM on a host without an SSH client.
fn told(daemon: &FakeDaemon, vm: &str) -> String {
    let mut ssh = daemon.command(&["ssh", vm]);
    let output = ssh.env("PATH", "/nonexistent").output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

fn starts(daemon: &FakeDaemon) -> usize {
    let paths = daemon.paths().into_iter();
    paths.filter(|path| path.ends_with("/start")).count()
}

#[test]
fn a_stopped_vm_is_started_and_that_is_said_in_one_line() {
    let daemon = FakeDaemon::new(two_vms);
    let told = told(&daemon, "db");
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told[0], "VM db is stopped: banger starts it");
    assert!(told[1].contains(NO_CLIENT), "{told:?}");
    assert_eq!(starts(&daemon), 1);
}

#[test]
fn a_vm_that_runs_is_not_started() {
    let daemon = FakeDaemon::new(two_vms);
    let told = told(&daemon, "web");
    assert!(
        told.starts_with("error: ") && told.contains(NO_CLIENT),
        "{told}"
    );
    assert_eq!(starts(&daemon), 0);
}

#[test]
fn where_it_is_forbidden_the_error_says_how_to_start_it() {
    let daemon = FakeDaemon::new(two_vms);
    daemon.configure("[ssh]\nstart_stopped = false\n");
    for words in [&["ssh", "db"][..], &["internal", "connect", "db.vm"]] {
        let refused = daemon.banger(words);
        assert_eq!((refused.exit, starts(&daemon)), (4, 0), "{words:?}");
        assert!(
            refused.stderr.contains("hint: banger start db"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_vm_that_failed_is_looked_at_first() {
    let daemon = FakeDaemon::new(|_| Answer::ok(vm("db", 2, "error")));
    let refused = daemon.banger(&["ssh", "db"]);
    assert_eq!((refused.exit, starts(&daemon)), (4, 0));
    assert!(
        refused.stderr.contains("banger logs db"),
        "{}",
        refused.stderr
    );
}
