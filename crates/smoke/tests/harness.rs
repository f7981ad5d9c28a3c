//! Tests of the harness: each of its checks gets something to find, because a check that cannot fail is worthless.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_smoke::{Invocation, Terminal, find_on_path, processes_of, test_root};

const SOON: Duration = Duration::from_secs(20);

fn sh(script: &str) -> Invocation {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Invocation::new(Path::new("/bin/sh"))
        .args(["-c", script])
        .env("PATH", path)
        .deadline(SOON)
}

fn panic_text(attempt: impl FnOnce() + std::panic::UnwindSafe) -> String {
    match std::panic::catch_unwind(attempt) {
        Ok(()) => String::new(),
        Err(cause) => cause
            .downcast_ref::<String>()
            .cloned()
            .unwrap_or_else(|| "a panic without text".to_owned()),
    }
}

#[test]
fn output_input_and_exit_code_are_those_of_the_command() {
    let ended = sh("cat; echo trouble >&2; exit 42")
        .input("given")
        .run()
        .exits(42)
        .says("trouble");
    assert_eq!(ended.out(), "given");
    assert_eq!(sh("kill -KILL $$").run().signal, Some(9));
}

#[test]
fn a_wrong_exit_code_fails_and_shows_all_output() {
    let said = panic_text(|| drop(sh("echo shown; echo also >&2; exit 1").ok()));
    assert!(
        said.contains("shown") && said.contains("also") && said.contains("exit code 1"),
        "{said}"
    );
}

#[test]
fn a_command_past_its_deadline_is_ended_with_all_that_it_started() {
    let started = Instant::now();
    let mut pid = String::new();
    let said = panic_text(std::panic::AssertUnwindSafe(|| {
        let running = sh("sleep 1000 & echo $!; trap '' TERM; wait; wait")
            .deadline(Duration::from_millis(300))
            .start();
        running.wait_for_stdout("\n");
        pid = running.stdout_so_far().trim().to_owned();
        drop(running.wait());
    }));
    assert!(said.contains("did not end within"), "{said}");
    assert!(started.elapsed() < SOON);
    let child = format!("/proc/{pid}/stat");
    let alive = fs::read_to_string(&child).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(!alive, "the command's child should be gone");
}

#[test]
fn output_held_open_by_something_that_outlives_the_command_is_noticed() {
    let said = panic_text(|| drop(sh("setsid sleep 8 & echo ready").run()));
    assert!(said.contains("holds its output open"), "{said}");
}

#[test]
fn waiting_for_text_that_never_comes_fails_as_soon_as_the_output_ends() {
    let started = Instant::now();
    let said = panic_text(|| {
        let running = sh("echo something else").start();
        running.wait_for_stdout("the word");
    });
    assert!(
        said.contains("never said") && said.contains("something else"),
        "{said}"
    );
    assert!(
        started.elapsed() < SOON / 2,
        "the end of the output is enough to know"
    );
}

#[test]
fn a_process_is_found_by_its_command_line_its_environment_and_its_folder() -> std::io::Result<()> {
    let folder = test_root().join(format!("find-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let sleeper = || {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null());
        command
    };
    let mut by_folder = sleeper().current_dir(&folder).spawn()?;
    let mut by_environment = sleeper().env("BANGER_HOME", folder.join("b")).spawn()?;
    let mut by_words = Command::new("sh")
        .args(["-c", "read line"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .spawn()?;
    // The command line is that of this process until the new program is in place.
    let deadline = Instant::now() + SOON;
    while processes_of(&folder).len() < 3 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let found = processes_of(&folder);
    for child in [&mut by_folder, &mut by_environment, &mut by_words] {
        child.kill()?;
        child.wait()?;
    }
    assert_eq!(found.len(), 3, "{found:?}");
    fs::remove_dir(&folder)
}

#[test]
fn a_terminal_knows_its_size_raw_mode_and_whether_it_was_given_back() {
    let shell = |script: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Invocation::new(Path::new("/bin/sh"))
            .args(["-c", script])
            .env("PATH", path)
            .deadline(SOON)
    };
    assert!(find_on_path("setsid").is_some());
    let script = "stty size; stty raw -echo; echo is-raw; read line; echo got-$line; stty sane; echo is-sane; exit 5";
    let mut terminal = Terminal::start(shell(script), 30, 90);
    terminal.expect("30 90");
    terminal.expect("is-raw");
    assert!(terminal.is_raw());
    assert!(!terminal.is_restored());
    terminal.type_keys("word\n");
    terminal.expect("got-word");
    terminal.expect("is-sane");
    assert!(!terminal.is_raw());
    assert_eq!(terminal.wait(), 5);
}
