use std::cell::Cell;
use std::path::Path;

use banger_jail::{Access, Item, Network};

use super::*;

const NEVER: &dyn Fn() -> bool = &|| false;

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").arg("-c").arg(script)
}

#[test]
fn both_outputs_come_as_lines() {
    let lines = shell("echo one; echo two >&2; printf three")
        .lines(10, NEVER)
        .unwrap();
    assert_eq!(lines, ["one", "two", "three"]);
}

#[test]
fn a_failure_carries_the_status_and_the_last_words() {
    let error = shell("seq 1 100; exit 7").lines(1000, NEVER).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("sh ended with status 7: 89 | 90"),
        "{text}"
    );
    assert!(text.ends_with("| 100"), "{text}");
}

#[test]
fn a_missing_program_is_named() {
    let error = Program::new("/nonexistent/apt")
        .lines(1, NEVER)
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot start apt");
}

#[test]
fn a_program_that_runs_another_goes_by_the_name_of_the_other() {
    let error = shell("exit 1")
        .called("mmdebstrap")
        .lines(1, NEVER)
        .unwrap_err();
    assert_eq!(error.to_string(), "mmdebstrap ended with status 1");
}

#[test]
fn cancel_ends_the_whole_group() {
    let seen = Cell::new(0);
    let mut pid = String::new();
    // The grandchild ignores the polite signal; the shell waits for it.
    let script = r#"sh -c 'trap "" TERM; echo $$; exec sleep 1000' & wait"#;
    let error = shell(script)
        .grace(Duration::from_millis(100))
        .run(
            &mut |line| {
                pid = line.to_owned();
                seen.set(seen.get() + 1);
            },
            &|| seen.get() > 0,
        )
        .unwrap_err();
    assert!(matches!(error, CommandError::Cancelled { .. }), "{error}");
    let grandchild = Pid::from_raw(pid.parse().unwrap()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while rustix::process::test_kill_process(grandchild).is_ok() && !is_zombie(&pid) {
        assert!(Instant::now() < deadline, "the grandchild {pid} still runs");
        std::thread::yield_now();
    }
}

/// A killed orphan may wait for a reaper that this machine does not have.
fn is_zombie(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_grandchild_that_keeps_the_pipe_does_not_hold_the_caller() {
    let started = Instant::now();
    let lines = shell("sleep 1000 & echo $!").lines(10, NEVER).unwrap();
    assert!(started.elapsed() < Duration::from_secs(30));
    let left = Pid::from_raw(lines[0].parse().unwrap()).unwrap();
    rustix::process::kill_process(left, Signal::KILL).unwrap();
}

#[test]
fn it_runs_in_the_folder_and_environment_that_were_set() {
    let folder = tempfile::tempdir().unwrap();
    let lines = shell("pwd -P; echo $COLOUR $LC_ALL")
        .dir(folder.path())
        .env("COLOUR", "red")
        .lines(10, NEVER)
        .unwrap();
    assert_eq!(
        lines,
        [
            folder.path().canonicalize().unwrap().to_str().unwrap(),
            "red C.UTF-8"
        ]
    );
}

/// A jail of landlock alone.
fn jail(cwd: &Path, items: Vec<Item>) -> Spec {
    Spec {
        items,
        cwd: cwd.to_owned(),
        network: Network::None,
        file_max_bytes: 1 << 20,
        descriptors_max: 64,
        user: None,
        group: None,
        namespaces: false,
        landlock: true,
        seccomp: false,
    }
}

#[test]
fn a_program_in_a_jail_writes_where_it_may_and_gains_nothing() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let jail = jail(
        own.path(),
        vec![
            Item::new("/", Access::Execute),
            Item::new("/dev/null", Access::Device),
            Item::new(own.path(), Access::MakeFiles),
        ],
    );
    let script = "
        echo x >here && mkdir dir && mv here dir/there && echo made
        (echo x >\"$0/elsewhere\") 2>/dev/null || echo refused
        grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status";
    let lines = Program::new("/bin/sh")
        .args(["-c", script])
        .arg(other.path())
        .dir(own.path())
        .jail(jail)
        .lines(20, &|| false)
        .unwrap();
    assert_eq!(lines[0], "made", "{lines:?}");
    assert!(own.path().join("dir/there").exists());
    assert!(lines.contains(&"NoNewPrivs:\t1".to_owned()), "{lines:?}");
    assert!(
        lines.contains(&"CapEff:\t0000000000000000".to_owned()),
        "{lines:?}"
    );
    // Where the kernel has landlock.
    if std::fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|all| all.contains("landlock"))
    {
        assert!(lines.contains(&"refused".to_owned()), "{lines:?}");
    }
    assert_eq!(
        lines.contains(&"refused".to_owned()),
        !other.path().join("elsewhere").exists()
    );
}

#[test]
fn a_jail_that_cannot_be_made_is_told_and_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let jail = jail(
        folder.path(),
        vec![Item::new(folder.path().join("gone"), Access::Read)],
    );
    let ran = Program::new("/bin/sh")
        .args(["-c", "echo ran"])
        .jail(jail)
        .lines(20, &|| false);
    match ran {
        Err(CommandError::Start { source, .. }) => {
            assert!(source.to_string().contains("gone"), "{source}");
        }
        // Without landlock nothing of the spec is looked at.
        Ok(lines) => assert_eq!(lines, ["ran"]),
        Err(other) => panic!("{other}"),
    }
}
