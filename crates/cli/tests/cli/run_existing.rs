//! `vm run --name` of a VM that exists.

use banger_guest::ExitStatus;
use banger_guest::wire::frame::{Frame, FrameReader, write};
use bytes::Bytes;

use crate::fake_daemon::{Answer, FakeDaemon};
use crate::sample::two_vms;

/// VM `web` runs, `db` is stopped; every command in them prints `hi` and ends with 3.
fn daemon() -> FakeDaemon {
    FakeDaemon::new(|asked| {
        if !crate::exec::is_exec(&asked.what) {
            return two_vms(asked);
        }
        Answer::upgrade(|mut stream| async move {
            for frame in [
                Frame::Stdout(Bytes::from_static(b"hi\n")),
                Frame::Exit(ExitStatus::Code(3)),
            ] {
                write(&mut stream, &frame).await.unwrap();
            }
            let _ = FrameReader::new(stream).next().await;
        })
    })
}

/// Nothing but looks at VMs was asked of the daemon.
fn nothing_happened(daemon: &FakeDaemon) -> bool {
    daemon.paths().iter().all(|path| path.starts_with("GET "))
}

#[test]
fn a_vm_that_runs_is_gone_into_and_stays() {
    let daemon = daemon();
    let ran = daemon.banger(&["run", "--name", "web", "--", "true"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (3, "hi\n"));
    assert_eq!(ran.stderr, "VM web exists: going into it\n");
    let paths = daemon.paths();
    let exec = paths.iter().filter(|path| crate::exec::is_exec(path));
    assert_eq!(exec.count(), 1);
    assert!(!paths.iter().any(|path| path == "POST /v1/vms"));
    assert!(!paths.iter().any(|path| path.ends_with("/start")));
    let entered = daemon
        .asked()
        .into_iter()
        .find(|asked| crate::exec::is_exec(&asked.what));
    assert_eq!(entered.unwrap().body["then_delete"], false);
}

#[test]
fn a_vm_that_is_stopped_is_started_first() {
    let daemon = daemon();
    let ran = daemon.banger(&["run", "--name", "db", "--", "true"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (3, "hi\n"));
    assert_eq!(ran.stderr, "VM db exists and is stopped: starting it\n");
    let paths = daemon.paths();
    let place = |end: &str| paths.iter().position(|path| path.contains(end)).unwrap();
    assert!(place("/start") < place("/exec"), "{paths:?}");
}

#[test]
fn detached_it_is_started_and_its_name_printed() {
    let daemon = daemon();
    let ran = daemon.banger(&["run", "-d", "--name", "db"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "db\n"));
    assert!(!daemon.paths().iter().any(|path| crate::exec::is_exec(path)));
}

#[test]
fn settings_that_it_does_not_have_are_named_and_nothing_happens() {
    let daemon = daemon();
    let words = ["--image", "other", "--memory", "4G", "--net", "user"];
    let ran = daemon.banger(&[&["run", "--name", "db"], &words[..], &["--", "true"]].concat());
    assert_eq!((ran.exit, ran.stdout.as_str()), (4, ""));
    for told in [
        "VM \"db\" exists and differs: image is debian-minimal, not other; memory is 2 GiB, not 4 GiB\n",
        "another --name makes a VM of its own",
        "banger vm set db --memory 4G changes it for its next start",
    ] {
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    assert!(nothing_happened(&daemon));
}

#[test]
fn rm_is_refused_for_a_vm_that_was_there_before() {
    let daemon = daemon();
    let ran = daemon.banger(&["run", "--rm", "--name", "web", "--json", "--", "true"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (4, ""));
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "name_taken");
    assert!(nothing_happened(&daemon));
}

#[test]
fn with_json_the_result_is_that_of_run() {
    let daemon = daemon();
    let ran = daemon.banger(&["run", "--json", "--name", "web", "--", "true"]);
    let result: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.exit, ran.stderr.as_str()), (3, ""));
    assert_eq!(result["exit_code"], 3);
    assert_eq!(result["stdout"], "hi\n");
}

#[test]
fn a_name_that_begins_another_vm_s_id_makes_a_vm() {
    let daemon = FakeDaemon::new(|asked| match asked.what.starts_with("GET /v1/vms/") {
        true => Answer::ok(crate::sample::vm("web", 1, "running")),
        false => Answer::error(500, "internal", "it was asked for a VM"),
    });
    let ran = daemon.banger(&["run", "--name", "0193", "--", "true"]);
    assert!(
        ran.stderr.contains("it was asked for a VM"),
        "{}",
        ran.stderr
    );
    assert!(daemon.paths().contains(&"POST /v1/vms".to_owned()));
}
