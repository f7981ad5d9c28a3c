//! `vm run` from creation to deletion.

use std::sync::atomic::{AtomicBool, Ordering};

use banger_guest::ExitStatus;
use banger_guest::wire::frame::{Frame, FrameReader, write};
use bytes::Bytes;
use serde_json::json;

use crate::fake_daemon::{Answer, FakeDaemon};
use crate::sample::{accepted, finished, stage, vm};

/// A daemon whose VM starts, and whose guest command ends like this.
fn daemon_with(frame: Frame) -> FakeDaemon {
    let deleted = AtomicBool::new(false);
    FakeDaemon::new(move |asked| {
        let frame = frame.clone();
        match asked.what.split(' ').next().unwrap_or_default() {
            _ if asked.what.contains("/events") => {
                Answer::events([stage(0, "boot"), finished(1, "done", None)])
            }
            _ if crate::exec::is_exec(&asked.what) => Answer::upgrade(|mut stream| async move {
                write(&mut stream, &Frame::Stdout(Bytes::from_static(b"Linux\n")))
                    .await
                    .unwrap();
                write(&mut stream, &frame).await.unwrap();
                let _ = FrameReader::new(stream).next().await;
            }),
            "DELETE" if deleted.swap(true, Ordering::SeqCst) => {
                Answer::error(404, "not_found", "gone")
            }
            "DELETE" | "POST" => accepted(vm("web", 1, "starting")),
            _ => Answer::ok(vm("web", 1, "running")),
        }
    })
}

#[test]
fn with_rm_the_vm_is_gone_when_the_command_has_ended() {
    let daemon = daemon_with(Frame::Exit(ExitStatus::Code(42)));
    let ran = daemon.banger(&["run", "--rm", "--", "uname"]);
    assert_eq!(
        (ran.exit, ran.stdout.as_str(), ran.stderr.as_str()),
        (42, "Linux\n", "")
    );
    let asked = daemon.asked();
    assert_eq!(asked[0].body["ephemeral"], true);
    assert_eq!(asked[0].body["start"], true);
    let exec = asked
        .iter()
        .find(|asked| crate::exec::is_exec(&asked.what))
        .unwrap();
    assert_eq!(exec.body["then_delete"], true);
    assert!(
        asked
            .iter()
            .any(|asked| asked.what.starts_with("DELETE") && asked.what.contains("force=true"))
    );
}

#[test]
fn a_new_vm_that_reaches_the_hosts_services_is_told_once_and_only_to_people() {
    let answer = |asked: &crate::fake_daemon::Asked| {
        if asked.what.contains("/events") {
            return Answer::events([finished(0, "done", None)]);
        }
        let mut vm = vm("web", 1, "running");
        vm["reaches_host"] = json!(true);
        match asked.what.starts_with("POST") {
            true => accepted(vm),
            false => Answer::ok(vm),
        }
    };
    let daemon = FakeDaemon::new(answer);
    for args in [&["run", "-d"][..], &["vm", "create"]] {
        let told = daemon.banger(args).stderr;
        let lines = told
            .lines()
            .filter(|line| line.contains("this host's own services"));
        assert_eq!(lines.count(), 1, "{told}");
        assert!(told.contains("--allow none"), "{told}");
    }
    assert_eq!(daemon.banger(&["run", "-d", "--json"]).stderr, "");
    let shown = daemon.banger(&["vm", "show", "web"]).stdout;
    assert!(shown.contains("this host's own services"), "{shown}");
    let data = daemon.banger(&["vm", "show", "web", "--json"]).stdout;
    assert!(data.contains("\"reaches_host\": true"), "{data}");
}

#[test]
fn a_container_engines_volume_is_answered_with_what_does_it_here() {
    let daemon = daemon_with(Frame::Exit(ExitStatus::Code(0)));
    let ran = daemon.banger(&["run", "-v", "/nowhere:/x"]);
    assert_eq!(ran.exit, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("banger cp copies"), "{}", ran.stderr);
    assert!(
        daemon
            .asked()
            .iter()
            .all(|asked| !asked.what.starts_with("POST"))
    );
}

#[test]
fn without_rm_leaving_a_shell_says_how_to_come_back() {
    let daemon = daemon_with(Frame::Exit(ExitStatus::Code(0)));
    let ran = daemon.banger(&["run"]);
    assert_eq!(ran.exit, 0);
    assert!(ran.stderr.contains("banger exec web"), "{}", ran.stderr);
    assert!(ran.stderr.contains("banger vm stop web"), "{}", ran.stderr);
    assert!(!daemon.paths().iter().any(|path| path.starts_with("DELETE")));
}

#[test]
fn detached_it_only_starts_and_prints_the_name() {
    let daemon = daemon_with(Frame::Exit(ExitStatus::Code(0)));
    let ran = daemon.banger(&[
        "run", "-d", "--name", "fresh", "--vcpu", "4", "--memory", "2G",
    ]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "web\n"));
    let asked = daemon.asked();
    let create = asked.iter().find(|asked| asked.what == "POST /v1/vms");
    let create = &create.unwrap().body;
    assert_eq!(create["vcpu"], 4);
    assert_eq!(create["memory"], 2_147_483_648_u64);
    assert!(!daemon.paths().iter().any(|path| crate::exec::is_exec(path)));
}

#[test]
fn a_vm_that_does_not_start_is_never_entered() {
    let daemon = FakeDaemon::new(|asked| {
        if asked.what.contains("/events") {
            let error = json!({"code": "guest_unreachable", "message": "no answer", "hint": "banger logs web"});
            return Answer::events([finished(0, "failed", Some(error))]);
        }
        accepted(vm("web", 1, "starting"))
    });
    let ran = daemon.banger(&["run", "--rm", "--", "true"]);
    assert_eq!(
        (ran.exit, ran.stderr.as_str()),
        (125, "error: no answer\nhint: banger logs web\n")
    );
    assert_eq!(daemon.paths().len(), 2);
}

#[test]
fn timings_name_every_stage_on_both_sides() {
    let daemon = daemon_with(Frame::Exit(ExitStatus::Code(0)));
    let ran = daemon.banger(&["run", "--rm", "--timings", "--", "true"]);
    for stage in ["request", "exec", "delete", "total"] {
        let line = format!("\n{stage} ");
        assert!(ran.stderr.contains(&line), "{stage}: {}", ran.stderr);
    }
    assert_eq!(ran.stdout, "Linux\n");
}
