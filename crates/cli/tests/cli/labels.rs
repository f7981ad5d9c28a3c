//! Labels: given, changed, and as a choice of VMs.

use serde_json::{Value, json};

use crate::fake_daemon::{Answer, Asked, FakeDaemon};
use crate::sample::{finished, two_vms, vm};

/// Both VMs, `web` with labels, from a daemon that ignores the question for labels, as older ones do.
fn with_labels(asked: &Asked) -> Answer {
    if !asked.what.starts_with("GET /v1/vms?") && asked.what != "GET /v1/vms" {
        return two_vms(asked);
    }
    let mut web = vm("web", 1, "running");
    web["labels"] = json!({"job": "", "team": "red"});
    Answer::ok([web, vm("db", 2, "stopped")])
}

/// Body that was sent to the daemon.
fn bodies(daemon: &FakeDaemon) -> Vec<Value> {
    let asked = daemon.asked().into_iter().map(|asked| asked.body);
    asked.filter(|body| !body.is_null()).collect()
}

#[test]
fn labels_choose_vms_also_where_the_daemon_does_not_know_them() {
    let daemon = FakeDaemon::new(with_labels);
    let listed = |words: &[&str]| daemon.banger(&[&["ps", "-q"], words].concat()).stdout;
    assert_eq!(listed(&[]), "web\ndb\n");
    assert_eq!(listed(&["--label", "team"]), "web\n");
    assert_eq!(listed(&["--label", "team=red", "--label", "job="]), "web\n");
    assert_eq!(listed(&["--label", "team=red", "--label", "job=7"]), "");
    let asked = daemon.paths().pop().unwrap();
    assert_eq!(asked, "GET /v1/vms?label=team%3Dred&label=job%3D7");
}

#[test]
fn every_command_on_several_vms_works_on_those_with_a_label() {
    for command in ["start", "stop", "restart", "kill", "delete", "show"] {
        let daemon = FakeDaemon::new(with_labels);
        let done = daemon.banger(&["vm", command, "--label", "team=red", "--json"]);
        assert_eq!(done.exit, 0, "{command}: {}", done.stderr);
        let done: Value = serde_json::from_str(&done.stdout).unwrap();
        let names: Vec<_> = done
            .as_array()
            .unwrap()
            .iter()
            .map(|vm| &vm["name"])
            .collect();
        assert_eq!(names, ["web"], "{command}");
        let touched = daemon.paths();
        assert!(
            touched.iter().all(|path| !path.ends_with("02")),
            "{command}: {touched:?}"
        );
    }
}

#[test]
fn labels_that_no_vm_has_are_told_and_nothing_happens() {
    let daemon = FakeDaemon::new(with_labels);
    let removed = daemon.banger(&["rm", "--force", "--label", "team=blue"]);
    assert_eq!((removed.exit, removed.stdout.as_str()), (0, ""));
    assert_eq!(removed.stderr, "no VM has the label team=blue\n");
    assert_eq!(daemon.paths().len(), 1);
}

#[test]
fn names_and_labels_are_not_mixed_and_one_of_them_is_needed() {
    let daemon = FakeDaemon::new(with_labels);
    for words in [
        &["rm"][..],
        &["rm", "web", "--label", "team"],
        &["rm", "--label", "te am"],
        &["vm", "create", "--label", "team"],
        &["vm", "set", "web", "--label", "a=1", "--remove-label", "a"],
    ] {
        let refused = daemon.banger(words);
        assert_eq!(refused.exit, 2, "{words:?}: {}", refused.stderr);
    }
    assert!(daemon.paths().is_empty());
}

#[test]
fn a_prune_asks_the_daemon_for_the_labels_alone() {
    let daemon = FakeDaemon::new(|asked| match asked.what.contains("/operations/") {
        true => Answer::events([finished(0, "done", None)]),
        false => Answer::ok(json!({"vms": [], "freed_bytes": 0, "operations": []})),
    });
    daemon.banger(&["vm", "prune", "--yes", "--label", "job=7"]);
    daemon.banger(&["vm", "prune", "--yes"]);
    assert_eq!(
        bodies(&daemon),
        [
            json!({"dry_run": false, "labels": ["job=7"]}),
            json!({"dry_run": false})
        ]
    );
}

#[test]
fn labels_are_sent_with_a_new_vm_and_a_change_of_one() {
    let daemon = FakeDaemon::new(two_vms);
    daemon.banger(&[
        "vm", "create", "--label", "a=1", "--label", "a=2", "--label", "b=",
    ]);
    daemon.banger(&["vm", "set", "web", "--label", "a=1", "--remove-label", "b"]);
    let bodies = bodies(&daemon);
    assert_eq!(bodies[0]["labels"], json!({"a": "2", "b": ""}));
    let change = bodies
        .iter()
        .find(|body| body["labels"]["a"] == "1")
        .unwrap();
    assert_eq!(change["labels"], json!({"a": "1", "b": null}));
}

#[test]
fn labels_are_shown() {
    let daemon = FakeDaemon::new(|_| {
        let mut web = vm("web", 1, "running");
        web["labels"] = json!({"job": "", "team": "red"});
        Answer::ok(web)
    });
    let shown = daemon.banger(&["vm", "show", "web"]).stdout;
    assert!(shown.contains("job=,team=red"), "{shown}");
    let daemon = FakeDaemon::new(with_labels);
    let wide = daemon.banger(&["ps", "--wide"]).stdout;
    assert!(
        wide.contains("LABELS") && wide.contains("job=,team=red"),
        "{wide}"
    );
}
