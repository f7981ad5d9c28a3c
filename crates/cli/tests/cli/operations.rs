//! Commands that start operations and follow them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::sync::mpsc;

use crate::fake_daemon::{Answer, FakeDaemon, finish};
use crate::sample::{OPERATION, accepted, event, finished, stage, two_vms, vm};

#[test]
fn names_are_printed_in_the_order_given_and_duplicates_once() {
    let daemon = FakeDaemon::new(two_vms);
    let id_of_web = vm("web", 1, "running")["id"].as_str().unwrap().to_owned();
    let stopped = daemon.banger(&["vm", "stop", "db", "web", &id_of_web, "db"]);
    assert_eq!((stopped.exit, stopped.stdout.as_str()), (0, "db\nweb\n"));
    let posts = daemon
        .paths()
        .into_iter()
        .filter(|path| path.starts_with("POST"));
    assert_eq!(posts.count(), 2);
}

#[test]
fn one_failure_among_several_is_told_last_and_the_others_are_done() {
    let daemon = FakeDaemon::new(|asked| {
        if asked.what.starts_with("DELETE") && asked.what.ends_with("01") {
            return Answer::error(409, "wrong_state", "VM \"web\" runs");
        }
        two_vms(asked)
    });
    let removed = daemon.banger(&["rm", "web", "db"]);
    assert_eq!((removed.exit, removed.stdout.as_str()), (4, "db\n"));
    assert_eq!(removed.stderr, "error: VM \"web\" runs\nhint: look there\n");
}

#[test]
fn an_operation_that_fails_gives_its_error_and_exit_code() {
    let daemon = FakeDaemon::new(|asked| {
        if asked.what.starts_with("POST") {
            return accepted(vm("web", 1, "starting"));
        }
        let error = json!({"code": "no_space", "message": "disk full", "hint": "make room"});
        Answer::events([
            stage(0, "create_disks"),
            event(1, json!({"event": "warning", "message": "no KVM: slow"})),
            finished(2, "failed", Some(error)),
        ])
    });
    let created = daemon.banger(&["vm", "create"]);
    assert_eq!(created.exit, 1);
    assert_eq!(
        created.stderr,
        "warning: no KVM: slow\nerror: disk full\nhint: make room\n"
    );
}

#[test]
fn json_output_carries_no_events() {
    let daemon = FakeDaemon::new(two_vms);
    let stopped = daemon.banger(&["vm", "stop", "web", "--json"]);
    assert_eq!(stopped.stderr, "");
    let vm: serde_json::Value = serde_json::from_str(&stopped.stdout).unwrap();
    assert_eq!(vm[0]["name"], "web");
}

#[test]
fn verbose_and_timings_tell_how_long_stages_took() {
    let daemon = FakeDaemon::new(|asked| {
        if asked.what.starts_with("POST") {
            return accepted(vm("web", 1, "created"));
        }
        if asked.what.contains("/vms/") {
            return Answer::ok(vm("web", 1, "created"));
        }
        Answer::events([
            stage(0, "create_disks"),
            event(
                1,
                json!({"event": "stage_done", "stage": "create_disks", "us": 2500}),
            ),
            finished(2, "done", None),
        ])
    });
    let created = daemon.banger(&["vm", "create", "--no-start", "-v", "--timings"]);
    assert_eq!((created.exit, created.stdout.as_str()), (0, "web\n"));
    assert!(
        created.stderr.starts_with("create_disks 2.5 ms\n"),
        "{}",
        created.stderr
    );
    assert!(
        created.stderr.contains("create_disks        2.5\n"),
        "{}",
        created.stderr
    );
    assert!(created.stderr.contains("\ntotal "), "{}", created.stderr);
}

#[test]
fn an_interrupt_cancels_the_operation_and_waits_for_its_end() {
    let (events, receiver) = mpsc::unbounded_channel();
    events.send(stage(0, "boot")).unwrap();
    let receiver = Mutex::new(Some(receiver));
    let (following, followed) = std::sync::mpsc::channel();
    let daemon = FakeDaemon::new(move |asked| {
        if asked.what.contains("/cancel") {
            events.send(finished(1, "cancelled", None)).unwrap();
            return Answer::Json(202, json!(null));
        }
        if asked.what.contains("/events") {
            following.send(()).unwrap();
            return Answer::Events(receiver.lock().unwrap().take().unwrap());
        }
        accepted(vm("web", 1, "starting"))
    });
    let child = daemon.start(&["vm", "create"]);
    followed.recv_timeout(crate::fake_daemon::DEADLINE).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let created = finish(child);
    assert_eq!(created.exit, 130);
    assert!(created.stderr.contains("cancelling"), "{}", created.stderr);
    let cancel = format!("POST /v1/operations/{OPERATION}/cancel");
    assert!(daemon.paths().contains(&cancel));
    let events = format!("GET /v1/operations/{OPERATION}/events?cancel_on_disconnect=true");
    assert!(daemon.paths().contains(&events));
}

#[test]
fn a_second_interrupt_leaves_at_once() {
    let (events, receiver) = mpsc::unbounded_channel();
    events.send(stage(0, "boot")).unwrap();
    let receiver = Mutex::new(Some(receiver));
    let (told, asked_for) = std::sync::mpsc::channel();
    let daemon = FakeDaemon::new(move |asked| {
        told.send(asked.what.clone()).unwrap();
        if asked.what.contains("/cancel") {
            return Answer::Json(202, json!(null));
        }
        if asked.what.contains("/events") {
            // Nothing more ever comes, as long as the sender lives.
            let _kept = &events;
            return Answer::Events(receiver.lock().unwrap().take().unwrap());
        }
        accepted(vm("web", 1, "starting"))
    });
    let wait_for = |part: &str| {
        while !asked_for
            .recv_timeout(crate::fake_daemon::DEADLINE)
            .unwrap()
            .contains(part)
        {}
    };
    let child = daemon.start(&["vm", "create"]);
    let pid = Pid::from_child(&child);
    wait_for("/events");
    kill_process(pid, Signal::INT).unwrap();
    wait_for("/cancel");
    kill_process(pid, Signal::INT).unwrap();
    let created = finish(child);
    assert_eq!(created.exit, 130);
    assert!(
        created.stderr.contains("left at once"),
        "{}",
        created.stderr
    );
}

#[test]
fn an_event_stream_that_breaks_is_followed_on() {
    let opened = AtomicUsize::new(0);
    let daemon = FakeDaemon::new(move |asked| {
        if asked.what.contains("/events") {
            let warning = event(0, json!({"event": "warning", "message": "once"}));
            return match opened.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::events([warning]),
                _ => Answer::events([warning, finished(1, "done", None)]),
            };
        }
        if asked.what.contains("/operations/") {
            return Answer::ok(json!({
                "id": OPERATION, "kind": "start_vm", "vm": null, "state": "running",
                "started_at": "2026-01-01T00:00:00Z", "finished_at": null, "error": null,
                "stages": [],
            }));
        }
        two_vms(asked)
    });
    let started = daemon.banger(&["vm", "start", "web"]);
    assert_eq!((started.exit, started.stdout.as_str()), (0, "web\n"));
    assert_eq!(started.stderr, "warning: once\n");
}

#[test]
fn an_operation_that_ended_with_its_daemon_is_told_by_the_next_one() {
    let daemon = FakeDaemon::new(|asked| {
        if asked.what.contains("/events") {
            return Answer::events([]);
        }
        if asked.what.contains("/operations/") {
            let error = json!({"code": "internal", "message": "the daemon was restarted"});
            return Answer::ok(json!({
                "id": OPERATION, "kind": "start_vm", "vm": null, "state": "failed",
                "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:00Z",
                "error": error, "stages": [],
            }));
        }
        two_vms(asked)
    });
    let started = daemon.banger(&["vm", "start", "db"]);
    assert_eq!(started.exit, 1);
    assert_eq!(started.stderr, "error: the daemon was restarted\n");
}
