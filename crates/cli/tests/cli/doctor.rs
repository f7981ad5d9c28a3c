//! `doctor` with and without a daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fake_daemon::{Answer, FakeDaemon, Finished, finish};

/// Runs `banger` with this home, and the programs of this machine.
fn banger(home: &Path, words: &[&str]) -> Finished {
    let child = Command::new(env!("CARGO_BIN_EXE_banger"))
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("BANGER_HOME", home.join("b"))
        .env("HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    finish(child.unwrap())
}

/// The name of the check that a fault fails, and the making of the fault in banger's home.
type Fault = (&'static str, fn(&Path));

/// The checks of `doctor --json`, as (status, cause, fix) by name.
fn checks(finished: &Finished) -> std::collections::BTreeMap<String, (String, String, Value)> {
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let checks = report["checks"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |check: &Value| {
        let found = (
            text(&check["status"]),
            text(&check["cause"]),
            check["fix"].clone(),
        );
        (text(&check["name"]), found)
    };
    checks.map(one).collect()
}

#[test]
fn without_a_daemon_everything_is_checked_and_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    let doctor = banger(home.path(), &["doctor", "--json"]);
    let checks = checks(&doctor);
    for name in [
        "engine",
        "config",
        "state",
        "cache",
        "runtime",
        "space",
        "socket",
        "kernel",
        "image",
        "git",
        "ssh",
        "mmdebstrap",
        "apt-get",
        "subordinate ids",
        "memory",
        "ports",
        "clock",
        "daemon",
    ] {
        assert!(checks.contains_key(name), "{name}: {checks:?}");
    }
    for (name, (status, _, fix)) in &checks {
        let known = ["ok", "warn", "fail"].contains(&status.as_str());
        assert!(known, "{name}: {status}");
        assert!(status == "ok" || fix.is_string(), "{name} has no fix");
    }
    let fails = checks.values().any(|(status, ..)| status == "fail");
    assert_eq!(doctor.exit, if fails { 5 } else { 0 });
    assert!(checks["daemon"].1.contains("none runs"), "{checks:?}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn each_fault_is_one_check_among_the_others_and_no_fix_is_doctor_itself() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("b");
    let faults: [Fault; 3] = [
        ("config", |place| {
            fs::write(place.join("config.toml"), "memroy = 1\n").unwrap()
        }),
        ("state", |place| fs::write(place.join("state"), "").unwrap()),
        ("daemon", |place| {
            fs::create_dir(place.join("state")).unwrap();
            fs::write(place.join("state/daemon.json"), "garbage").unwrap();
        }),
    ];
    for (name, make) in faults {
        fs::create_dir(&place).unwrap();
        make(&place);
        let doctor = banger(home.path(), &["doctor", "--json"]);
        let checks = checks(&doctor);
        assert_eq!(doctor.exit, 5, "{name}");
        assert_eq!(checks[name].0, "fail", "{name}: {checks:?}");
        assert!(checks.len() > 15, "{name}");
        assert!(
            !doctor.stdout.contains("banger doctor"),
            "{}",
            doctor.stdout
        );
        fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn a_daemon_that_runs_adds_what_only_it_knows() {
    let daemon = FakeDaemon::new(|asked| match asked.what.as_str() {
        "GET /v1/doctor" => Answer::ok(json!({"checks": [
            {"name": "leftovers", "status": "warn", "cause": "3 things", "fix": "sweep"},
            {"name": "config", "status": "fail", "cause": "another file", "fix": "edit it"},
            {"name": "seeds", "verdict": "pass", "finding": "as an older build says it", "advice": null},
        ]})),
        _ => Answer::ok(json!({
            "pid": 1, "version": "1", "build": "99999999999999999999-9", "socket": "/s", "uptime_s": 1,
            "running_vms": 0, "memory_bytes": 1, "default_net": "user", "activity": null, "waiting_build": null,
        })),
    });
    let doctor = daemon.banger(&["doctor", "--json"]);
    let checks = checks(&doctor);
    assert_eq!(checks["leftovers"].1, "3 things");
    assert_eq!(checks["config"].1, "for the daemon that runs: another file");
    assert_eq!(checks["seeds"].0, "ok");
    assert!(checks["daemon"].1.contains("newer build"), "{checks:?}");
    assert!(daemon.paths().iter().all(|path| path.starts_with("GET ")));
    let text = daemon.banger(&["doctor"]).stdout;
    assert!(text.contains("FAIL  config "), "{text}");
    assert!(text.contains("→ edit it"), "{text}");
}

#[test]
fn fix_mends_what_is_ours_and_asks_before_it_touches_what_is_not() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("b");
    for folder in ["state/kernels/k", "state/images/i", "run"] {
        fs::create_dir_all(place.join(folder)).unwrap();
    }
    fs::write(place.join("state/kernels/k/kernel.json"), "{}").unwrap();
    fs::write(place.join("state/images/i/image.json"), "{}").unwrap();
    fs::set_permissions(place.join("state"), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = place.join("run/daemon.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());

    let first = banger(home.path(), &["doctor", "--fix"]);
    assert!(first.stderr.contains("fixed: removed"), "{first:?}");
    assert!(first.stderr.contains("--yes is needed"), "{first:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.join("state")), 0o700);
    assert!(!socket.exists());
    assert!(!home.path().join(".ssh").exists());

    let second = banger(home.path(), &["doctor", "--fix", "--yes", "--json"]);
    let report: Value = serde_json::from_str(&second.stdout).unwrap();
    let fixed = report["fixed"].as_array().unwrap();
    assert_eq!(fixed.len(), 1, "{second:?}");
    let config = fs::read_to_string(home.path().join(".ssh/config")).unwrap();
    assert!(config.contains("Include"), "{config}");
    let third = banger(home.path(), &["doctor", "--fix", "--yes", "--json"]);
    assert!(!third.stdout.contains("\"fixed\""), "{third:?}");
}
