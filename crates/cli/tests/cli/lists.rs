//! Lists and single things, as text and as JSON.

use serde_json::{Value, json};

use crate::fake_daemon::{Answer, FakeDaemon};
use crate::sample::{two_vms, vm};

#[test]
fn vms_are_listed_in_columns() {
    let daemon = FakeDaemon::new(two_vms);
    let list = daemon.banger(&["ps"]);
    let lines: Vec<_> = list.stdout.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        [
            "NAME", "ID", "STATE", "IMAGE", "VCPU", "MEMORY", "DISK", "PORTS", "AGE"
        ]
    );
    let web: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(web[0], "web");
    assert_eq!(web[1].len(), 13, "the start of the id");
    assert_eq!(
        web[2..9],
        ["running", "debian-minimal", "2", "2", "GiB", "8", "GiB"]
    );
    assert_eq!((lines.len(), list.exit, list.stderr.as_str()), (3, 0, ""));
}

#[test]
fn names_alone_are_one_a_line() {
    let daemon = FakeDaemon::new(two_vms);
    assert_eq!(daemon.banger(&["ps", "-q"]).stdout, "web\ndb\n");
    assert_eq!(daemon.banger(&["ps", "-q", "--running"]).stdout, "web\n");
}

#[test]
fn names_alone_are_one_a_line_for_images_and_kernels_too() {
    let image = json!({
        "name": "debian-minimal", "digest": "ab", "source": "recipe", "init": "none",
        "base_bytes": 1, "seed_bytes": null, "created_at": "2026-01-01T00:00:00Z",
        "allocated_bytes": 1, "shared_bytes": 0, "used_by": 0,
    });
    let kernel = json!({
        "name": "debian-cloud", "digest": "cd", "source": "deb", "version": "6.1", "modules": [],
        "image_bytes": 1, "created_at": "2026-01-01T00:00:00Z", "used_by": 0, "default": true,
    });
    let daemon = FakeDaemon::new(move |asked| match asked.what.contains("/images") {
        true => Answer::ok([&image]),
        false => Answer::ok([&kernel]),
    });
    for (words, name) in [
        (&["image", "list", "-q"][..], "debian-minimal\n"),
        (&["images", "-q"], "debian-minimal\n"),
        (&["kernel", "list", "--quiet"], "debian-cloud\n"),
    ] {
        let listed = daemon.banger(words);
        assert_eq!(listed.stdout, name, "{words:?}: {}", listed.stderr);
    }
}

#[test]
fn json_is_what_the_api_says() {
    let daemon = FakeDaemon::new(two_vms);
    let list: Value = serde_json::from_str(&daemon.banger(&["ps", "--json"]).stdout).unwrap();
    assert_eq!(list[0], vm("web", 1, "running"));
    let one = daemon.banger(&["vm", "show", "web", "--json"]).stdout;
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one[0]["memory_mib"], 2048);
}

#[test]
fn text_of_a_guest_cannot_command_the_terminal() {
    let daemon = FakeDaemon::new(|_| {
        let mut broken = vm("web", 1, "error");
        broken["error"] = "console:\n\u{1b}[2J\u{7}panic".into();
        Answer::ok(broken)
    });
    let shown = daemon.banger(&["vm", "show", "web"]);
    assert!(
        shown.stdout.contains("\\u{1b}[2J\\u{7}panic"),
        "{}",
        shown.stdout
    );
}

#[test]
fn a_log_in_a_pipe_commands_no_terminal_and_raw_is_as_it_is() {
    const LOG: &[u8] = b"\x1b[2Jboot\r\nbad\rgood\x9b\n\xff";
    let daemon = FakeDaemon::new(|_| Answer::Bytes(LOG.to_vec()));
    let log = |words: &[&str]| daemon.command(words).output().unwrap().stdout;
    let words = ["logs", "--tail", "5", "web"];
    assert_eq!(log(&words), b"boot\r\nbad\ngood\n\xff");
    assert_eq!(log(&["logs", "--raw", "--tail", "5", "web"]), LOG);
    let asked = "GET /v1/vms/web/logs?follow=false&tail=5";
    assert_eq!(daemon.paths(), [asked, asked]);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let daemon = FakeDaemon::new(two_vms);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = daemon.command(&["ps"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(output.stderr, b"");
}
