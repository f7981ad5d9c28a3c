//! Errors as users and scripts see them.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::fake_daemon::{Answer, FakeDaemon};
use crate::sample::two_vms;

#[test]
fn every_error_code_has_its_exit_code() {
    let codes = [
        ("invalid_argument", 400, 2),
        ("not_found", 404, 3),
        ("ambiguous", 409, 3),
        ("wrong_state", 409, 4),
        ("name_taken", 409, 4),
        ("in_use", 409, 4),
        ("host_not_ready", 503, 5),
        ("no_space", 507, 1),
        ("vmm_failed", 502, 1),
        ("guest_failed", 502, 1),
        ("guest_unreachable", 502, 1),
        ("timeout", 504, 1),
        ("cancelled", 499, 130),
        ("internal", 500, 1),
    ];
    for (code, status, exit) in codes {
        let daemon = FakeDaemon::new(move |_| Answer::error(status, code, "it went wrong"));
        let finished = daemon.banger(&["vm", "show", "web"]);
        assert_eq!(finished.exit, exit, "{code}");
        assert_eq!(
            finished.stderr, "error: it went wrong\nhint: look there\n",
            "{code}"
        );
        assert_eq!(finished.stdout, "", "{code}");
    }
}

#[test]
fn errors_are_json_for_those_who_want_json() {
    let daemon = FakeDaemon::new(two_vms);
    let finished = daemon.banger(&["vm", "show", "nobody", "--json"]);
    let error: Value = serde_json::from_str(&finished.stderr).unwrap();
    assert_eq!(error["error"]["code"], "not_found");
    assert_eq!(finished.exit, 3);
    let finished = daemon.banger(&["vm", "shwo", "--json"]);
    let error: Value = serde_json::from_str(&finished.stderr).unwrap();
    assert_eq!(error["error"]["code"], "invalid_argument");
    assert_eq!(finished.exit, 2);
}

#[test]
fn an_unknown_reference_stops_everything_before_it_begins() {
    let daemon = FakeDaemon::new(two_vms);
    let finished = daemon.banger(&["vm", "stop", "web", "nobody", "db", "no-one"]);
    assert_eq!(finished.exit, 3);
    let told: Vec<_> = finished.stderr.lines().collect();
    let expected = [
        "error: no VM is called \"nobody\"",
        "error: no VM is called \"no-one\"",
        "hint: look there",
    ];
    assert_eq!(told, expected, "one hint for both");
    assert!(daemon.paths().iter().all(|path| path.starts_with("GET")));
}

#[test]
fn an_error_that_is_not_of_the_api_is_told_with_its_status() {
    let daemon = FakeDaemon::new(|_| Answer::Json(418, Value::Null));
    let finished = daemon.banger(&["ps"]);
    assert_eq!(finished.exit, 1);
    assert!(
        finished.stderr.contains("418") && finished.stderr.contains("hint: "),
        "{}",
        finished.stderr
    );
}

#[test]
fn an_answer_of_another_shape_is_an_error_and_no_panic() {
    for answer in ["{}", "[1]", "nonsense", "[{\"id\":\"x\"}]"] {
        let daemon = FakeDaemon::new(move |_| Answer::Bytes(answer.into()));
        let finished = daemon.banger(&["ps"]);
        assert_eq!(finished.exit, 1, "{answer}");
        assert!(
            finished
                .stderr
                .starts_with("error: cannot read the daemon's answer"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn a_socket_that_speaks_something_else_is_an_error_and_no_hang() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("run")).unwrap();
    let listener = UnixListener::bind(home.path().join("run/daemon.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut some = [0; 16];
            let _ = stream.read(&mut some);
            let _ = stream.write_all(b"220 mail.example ready\r\n");
        }
    });
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_banger"))
        .args(["vm", "stop", "web"])
        .env("BANGER_HOME", home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("error: lost the daemon during"),
        "{stderr}"
    );
}

#[test]
fn bare_banger_shows_its_help_and_is_a_wrong_usage() {
    let daemon = FakeDaemon::new(two_vms);
    let finished = daemon.banger(&[]);
    assert_eq!((finished.exit, finished.stdout.as_str()), (2, ""));
    assert!(finished.stderr.contains("Examples:"));
    let help = daemon.banger(&["vm", "run", "--help"]);
    assert_eq!((help.exit, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("Examples:"));
    assert!(daemon.paths().is_empty());
}
