//! Guest commands at our standard streams.

use std::io::Write as _;

use banger_guest::wire::frame::{Frame, FrameReader, write};
use banger_guest::{ExecFailure, ExecFailureKind, ExitStatus};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncWrite, split};

use crate::fake_daemon::{Answer, Asked, FakeDaemon, finish};
use crate::sample::vm;

/// A daemon with one VM, whose guest says these frames and then waits for the caller to leave.
fn guest_that_says(frames: Vec<Frame>) -> FakeDaemon {
    FakeDaemon::new(move |asked| {
        let frames = frames.clone();
        on_exec(asked, move || {
            Answer::upgrade(|mut stream| async move {
                for frame in frames {
                    write(&mut stream, &frame).await.unwrap();
                }
                let _ = FrameReader::new(stream).next().await;
            })
        })
    })
}

/// Starts of a command, by a caller that understands reports.
pub fn is_exec(what: &str) -> bool {
    what.ends_with("/exec?reports=true")
}

fn on_exec(asked: &Asked, answer: impl FnOnce() -> Answer) -> Answer {
    if is_exec(&asked.what) {
        answer()
    } else {
        Answer::ok(vm("web", 1, "running"))
    }
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn output_and_exit_code_come_back() {
    let daemon = guest_that_says(vec![
        Frame::Started { pid: 7 },
        Frame::Stdout(text("out\n")),
        Frame::Stderr(text("err\n")),
        Frame::Exit(ExitStatus::Code(42)),
    ]);
    let finished = daemon.banger(&["exec", "-e", "A=1", "-w", "/srv", "web", "--", "make", "-j"]);
    assert_eq!(finished.exit, 42);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("out\n", "err\n")
    );
    let exec = &daemon.asked()[0].body;
    assert_eq!(exec["argv"], serde_json::json!(["make", "-j"]));
    assert_eq!(
        (&exec["env"]["A"], &exec["cwd"]),
        (&"1".into(), &"/srv".into())
    );
    assert_eq!(exec["terminal"], serde_json::Value::Null);
}

#[test]
fn a_signal_is_128_and_its_number() {
    let daemon = guest_that_says(vec![Frame::Exit(ExitStatus::Signal(9))]);
    assert_eq!(daemon.banger(&["exec", "web", "--", "x"]).exit, 137);
}

#[test]
fn a_program_that_is_not_there_is_127_as_in_a_shell() {
    for (kind, exit) in [
        (ExecFailureKind::NotFound, 127),
        (ExecFailureKind::Permission, 126),
        (ExecFailureKind::Cwd, 125),
        (ExecFailureKind::User, 125),
    ] {
        let message = "no such program: x".to_owned();
        let daemon = guest_that_says(vec![Frame::Failed(ExecFailure { kind, message })]);
        let finished = daemon.banger(&["exec", "web", "--", "x"]);
        assert_eq!(finished.exit, exit);
        assert_eq!(finished.stderr, "error: no such program: x\n");
    }
}

#[test]
fn a_guest_that_breaks_off_is_an_error() {
    let daemon = FakeDaemon::new(|asked| {
        on_exec(asked, || {
            Answer::upgrade(|mut stream| async move {
                write(&mut stream, &Frame::Stdout(text("half")))
                    .await
                    .unwrap();
            })
        })
    });
    let finished = daemon.banger(&["exec", "web", "--", "x"]);
    assert_eq!((finished.exit, finished.stdout.as_str()), (125, "half"));
    assert!(
        finished.stderr.contains("lost the guest command"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_guest_that_says_what_has_no_place_is_an_error() {
    let daemon = guest_that_says(vec![Frame::Data(text("tar"))]);
    let finished = daemon.banger(&["exec", "web", "--", "x"]);
    assert_eq!(finished.exit, 125);
    assert!(
        finished.stderr.contains("unexpected frame"),
        "{}",
        finished.stderr
    );
}

#[test]
fn input_goes_to_the_guest_while_its_output_comes_back() {
    // An echo that answers while it is still being told: both directions are full at once.
    let daemon = FakeDaemon::new(|asked| {
        on_exec(asked, || {
            Answer::upgrade(|stream| async move {
                let (from, mut to) = split(stream);
                let mut frames = FrameReader::new(from);
                write(&mut to, &Frame::Started { pid: 7 }).await.unwrap();
                while let Some(frame) = frames.next().await.unwrap() {
                    let echoed = match frame {
                        Frame::Stdin(bytes) => Frame::Stdout(bytes),
                        Frame::StdinEof => Frame::Exit(ExitStatus::Code(0)),
                        other => panic!("unexpected {other:?}"),
                    };
                    write(&mut to, &echoed).await.unwrap();
                }
            })
        })
    });
    let mut child = daemon.start(&["exec", "web", "--", "cat"]);
    let sent: String = (0..400_000).map(|n| format!("{n}\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    let input = sent.clone();
    let feeding = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let finished = finish(child);
    feeding.join().unwrap();
    assert_eq!(finished.exit, 0);
    assert!(
        finished.stdout == sent,
        "{} bytes of {}",
        finished.stdout.len(),
        sent.len()
    );
}

#[test]
fn a_shell_without_a_terminal_is_sh_with_its_script_at_stdin() {
    let daemon = guest_that_says(vec![Frame::Exit(ExitStatus::Code(0))]);
    daemon.banger(&["exec", "web"]);
    let exec = &daemon.asked()[0].body;
    assert_eq!(exec["argv"], serde_json::json!([]));
    assert_eq!(exec["stdin"], true);
}

#[test]
fn an_interrupt_is_passed_on_and_a_second_one_leaves() {
    let (started, is_started) = std::sync::mpsc::channel();
    let (signalled, is_signalled) = std::sync::mpsc::channel();
    let daemon = FakeDaemon::new(move |asked| {
        let (started, signalled) = (started.clone(), signalled.clone());
        on_exec(asked, || {
            Answer::upgrade(|stream| async move {
                let (from, mut to) = split(stream);
                let mut frames = FrameReader::new(from);
                write(&mut to, &Frame::Started { pid: 7 }).await.unwrap();
                while let Ok(Some(frame)) = frames.next().await {
                    match frame {
                        Frame::Stdin(_) => started.send(()).unwrap(),
                        Frame::Signal(number) => signalled.send(number).unwrap(),
                        other => panic!("unexpected {other:?}"),
                    }
                }
            })
        })
    });
    let mut child = daemon.start(&["exec", "web", "--", "sleep", "100"]);
    let mut stdin = child.stdin.take().unwrap();
    // What arrives as input tells that the command is attached.
    stdin.write_all(b"x").unwrap();
    let pid = Pid::from_child(&child);
    is_started
        .recv_timeout(crate::fake_daemon::DEADLINE)
        .unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(
        is_signalled.recv_timeout(crate::fake_daemon::DEADLINE),
        Ok(2)
    );
    kill_process(pid, Signal::INT).unwrap();
    let finished = finish(child);
    drop(stdin);
    assert_eq!(finished.exit, 130);
    assert!(
        finished.stderr.contains("interrupted twice"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_command_that_ends_by_an_interrupt_in_its_own_way_keeps_its_output_and_its_code() {
    // Which of two things that are ready is taken first is left to chance: one try would prove little.
    for _ in 0..8 {
        let (started, is_started) = std::sync::mpsc::channel();
        let daemon = FakeDaemon::new(move |asked| {
            let started = started.clone();
            on_exec(asked, || {
                Answer::upgrade(move |stream| ends_when_interrupted(stream, started))
            })
        });
        let mut child = daemon.start(&["exec", "web", "--", "trap"]);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"x").unwrap();
        is_started
            .recv_timeout(crate::fake_daemon::DEADLINE)
            .unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let finished = finish(child);
        drop(stdin);
        assert_eq!((finished.exit, finished.stdout.as_str()), (9, "told"));
    }
}

/// A guest command that says a word and exits with 9 when it is interrupted.
async fn ends_when_interrupted(
    stream: impl AsyncRead + AsyncWrite + Send,
    started: std::sync::mpsc::Sender<()>,
) {
    let (from, mut to) = split(stream);
    let mut frames = FrameReader::new(from);
    write(&mut to, &Frame::Started { pid: 7 }).await.unwrap();
    while let Ok(Some(frame)) = frames.next().await {
        match frame {
            Frame::Stdin(_) => started.send(()).unwrap(),
            Frame::Signal(2) => {
                write(&mut to, &Frame::Stdout(text("told"))).await.unwrap();
                write(&mut to, &Frame::Exit(ExitStatus::Code(9)))
                    .await
                    .unwrap();
                return;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn a_reader_of_the_output_that_goes_away_ends_the_command_quietly() {
    let daemon = FakeDaemon::new(|asked| {
        on_exec(asked, || {
            Answer::upgrade(|mut stream| async move {
                let chunk = Frame::Stdout(Bytes::from(vec![b'y'; 4096]));
                while write(&mut stream, &chunk).await.is_ok() {}
            })
        })
    });
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = daemon.command(&["exec", "web", "--", "yes"]);
    let child = command
        .stdin(std::process::Stdio::null())
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The command holds a copy of the pipe's end.
    drop(command);
    drop(reader);
    let finished = finish(child);
    assert_eq!((finished.exit, finished.stderr.as_str()), (141, ""));
}
