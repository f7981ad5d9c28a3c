use std::cell::Cell;

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
