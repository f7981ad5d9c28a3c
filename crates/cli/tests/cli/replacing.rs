//! `create --replace`: nothing goes without consent.

use serde_json::json;

use crate::fake_daemon::{Answer, Asked, FakeDaemon};
use crate::sample::{accepted, finished, two_vms, vm};

fn makes_vms(asked: &Asked) -> Answer {
    match asked.what.as_str() {
        "POST /v1/vms" => accepted(vm("web", 3, "created")),
        what if what.contains("/operations/") => Answer::events([finished(0, "done", None)]),
        what if what.ends_with("03") => Answer::ok(vm("web", 3, "created")),
        _ => two_vms(asked),
    }
}

fn made(daemon: &FakeDaemon) -> Vec<serde_json::Value> {
    let asked = daemon.asked().into_iter();
    let posts = asked.filter(|asked| asked.what == "POST /v1/vms");
    posts.map(|asked| asked.body["replace"].clone()).collect()
}

#[test]
fn a_vm_that_exists_is_replaced_without_a_terminal_only_with_yes() {
    let daemon = FakeDaemon::new(makes_vms);
    for verb in [&["vm", "create"][..], &["run", "--detach"]] {
        let replace = ["--name", "web", "--replace"];
        let refused = daemon.banger(&[verb, &replace].concat());
        assert_eq!((refused.exit, made(&daemon).len()), (2, 0), "{verb:?}");
        assert!(
            refused
                .stderr
                .contains("Delete VM web, which runs, with all its files")
                && refused.stderr.contains("--yes"),
            "{}",
            refused.stderr
        );
    }
    let replaced = daemon.banger(&["vm", "create", "--name", "web", "--replace", "--yes"]);
    assert_eq!((replaced.exit, replaced.stdout.as_str()), (0, "web\n"));
    assert_eq!(made(&daemon), [json!(true)]);
}

#[test]
fn a_name_that_is_free_needs_no_consent() {
    let daemon = FakeDaemon::new(makes_vms);
    let created = daemon.banger(&["vm", "create", "--name", "fresh", "--replace"]);
    assert_eq!((created.exit, made(&daemon)), (0, vec![json!(true)]));
}

#[test]
fn only_a_named_vm_is_replaced_and_only_a_replacement_is_agreed_to() {
    let daemon = FakeDaemon::new(makes_vms);
    for words in [
        &["vm", "create", "--replace", "--yes"][..],
        &["vm", "create", "--name", "web", "--yes"],
    ] {
        assert_eq!(daemon.banger(words).exit, 2, "{words:?}");
    }
    assert!(daemon.paths().is_empty());
}
