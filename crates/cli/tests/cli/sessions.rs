//! Guest commands whose agent reports what they read and which signals reached them, and guests that do not answer.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use banger_guest::ExitStatus;
use banger_guest::wire::frame::{Frame, FrameReader, write};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::split;

use crate::exec::is_exec;
use crate::fake_daemon::{Answer, DEADLINE, FakeDaemon, finish};
use crate::sample::vm;

/// A guest whose command reads `takes` bytes of what it is sent, and ends when as much as `waits_for` has come.
fn guest_that_takes(takes: u64, waits_for: &'static [u8]) -> FakeDaemon {
    talking(move |stream| async move {
        let (from, mut to) = split(stream);
        let mut frames = FrameReader::new(from);
        say(&mut to, &[Frame::StdinTaken(0), Frame::Started { pid: 7 }]).await;
        let mut came = Vec::new();
        while came.len() < waits_for.len() {
            match frames.next().await {
                Ok(Some(Frame::Stdin(bytes))) => came.extend_from_slice(&bytes),
                other => panic!("{other:?} after {came:?}"),
            }
        }
        assert!(came.starts_with(waits_for), "{came:?}");
        say(
            &mut to,
            &[Frame::StdinTaken(takes), Frame::Exit(ExitStatus::Code(0))],
        )
        .await;
        let _ = frames.next().await;
    })
}

type Upgraded = hyper_util::rt::TokioIo<hyper::upgrade::Upgraded>;

fn talking<F>(talk: impl Fn(Upgraded) -> F + Send + Sync + Clone + 'static) -> FakeDaemon
where
    F: Future<Output = ()> + Send + 'static,
{
    FakeDaemon::new(move |asked| match is_exec(&asked.what) {
        true => {
            let talk = talk.clone();
            Answer::upgrade(talk)
        }
        false => Answer::ok(vm("web", 1, "running")),
    })
}

async fn say(to: &mut (impl tokio::io::AsyncWrite + Unpin), frames: &[Frame]) {
    for frame in frames {
        // A caller that has left is a part of some tests.
        let _ = write(to, frame).await;
    }
}

/// Runs a script of a shell in which `$B` is the command.
fn in_shell(daemon: &FakeDaemon, script: &str, stdin: Stdio) -> String {
    let wanted = daemon.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env_clear();
    for (name, value) in wanted.get_envs() {
        shell.env(name, value.unwrap());
    }
    shell
        .env("PATH", "/usr/bin:/bin")
        .env("B", wanted.get_program())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let finished = finish(shell.spawn().unwrap());
    assert_eq!(finished.stderr, "", "{}", finished.stdout);
    finished.stdout
}

const LOOP: &str = r#"while read x; do "$B" exec web true; echo "got $x"; done"#;
const LINES: &str = "1\n2\n3\n";
const GOT: &str = "got 1\ngot 2\ngot 3\n";

#[test]
fn a_loop_that_reads_lines_has_them_all_whatever_they_come_from() {
    // What is left of the lines is sent, and nothing of it is read.
    let daemon = guest_that_takes(0, b"");
    let piped = format!("printf '1\\n2\\n3\\n' | {LOOP}");
    assert_eq!(in_shell(&daemon, &piped, Stdio::null()), GOT);

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(LINES.as_bytes()).unwrap();
    let from_file = File::open(file.path()).unwrap();
    assert_eq!(in_shell(&daemon, LOOP, from_file.into()), GOT);

    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    (&ours).write_all(LINES.as_bytes()).unwrap();
    drop(ours);
    let socket = std::os::fd::OwnedFd::from(theirs);
    assert_eq!(in_shell(&daemon, LOOP, socket.into()), GOT);
}

#[test]
fn what_a_command_reads_is_gone_and_the_rest_is_there_for_the_next() {
    let daemon = guest_that_takes(4, b"one\ntwo\n");
    let script = r#"printf 'one\ntwo\n' | { "$B" exec web head -n1; cat; }"#;
    assert_eq!(in_shell(&daemon, script, Stdio::null()), "two\n");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"one\ntwo\n").unwrap();
    let from_file = File::open(file.path()).unwrap();
    let script = r#"{ "$B" exec web head -n1; cat; }"#;
    assert_eq!(in_shell(&daemon, script, from_file.into()), "two\n");
}

#[test]
fn no_input_is_sent_when_none_is_wanted() {
    let daemon = guest_that_takes(0, b"");
    let script = r#"printf 'one\n' | { "$B" exec -n web true; cat; }"#;
    assert_eq!(in_shell(&daemon, script, Stdio::null()), "one\n");
    let exec = daemon
        .asked()
        .into_iter()
        .find(|asked| is_exec(&asked.what));
    assert_eq!(exec.unwrap().body["stdin"], false);
}

#[test]
fn a_long_input_flows_as_fast_as_it_is_read() {
    const SIZE: usize = 8 * 1024 * 1024;
    let daemon = talking(|stream| async move {
        let (from, mut to) = split(stream);
        let mut frames = FrameReader::new(from);
        say(&mut to, &[Frame::StdinTaken(0), Frame::Started { pid: 7 }]).await;
        let (mut taken, mut told) = (0_u64, 0);
        loop {
            match frames.next().await {
                Ok(Some(Frame::Stdin(bytes))) => {
                    taken += bytes.len() as u64;
                    assert!(taken - told <= banger_guest::limits::STDIN_WINDOW as u64);
                    say(&mut to, &[Frame::Stdout(bytes), Frame::StdinTaken(taken)]).await;
                    told = taken;
                }
                Ok(Some(Frame::StdinEof)) => break,
                other => panic!("{other:?}"),
            }
        }
        say(&mut to, &[Frame::Exit(ExitStatus::Code(0))]).await;
        let _ = frames.next().await;
    });
    let mut child = daemon.start(&["exec", "web", "cat"]);
    let mut stdin = child.stdin.take().unwrap();
    let sent: Vec<u8> = (b'a'..=b'z').cycle().take(SIZE).collect();
    let input = sent.clone();
    let feeding = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let finished = finish(child);
    feeding.join().unwrap();
    assert!(
        finished.stdout.as_bytes() == sent,
        "{} bytes",
        finished.stdout.len()
    );
}

/// A guest whose command has started; what it is told comes out of the channel, and is answered by `answer`.
fn hearing(
    first: Vec<Frame>,
    answer: impl Fn(&Frame) -> Vec<Frame> + Send + Sync + Clone + 'static,
) -> (FakeDaemon, mpsc::Receiver<Option<Frame>>) {
    let (hear, heard) = mpsc::channel();
    let daemon = talking(move |stream| {
        let (hear, answer, first) = (hear.clone(), answer.clone(), first.clone());
        async move {
            let (from, mut to) = split(stream);
            let mut frames = FrameReader::new(from);
            say(&mut to, &first).await;
            hear.send(None).unwrap();
            while let Ok(Some(frame)) = frames.next().await {
                say(&mut to, &answer(&frame)).await;
                // The test may have seen enough.
                let _ = hear.send(Some(frame));
            }
        }
    });
    (daemon, heard)
}

fn started(reports: bool) -> Vec<Frame> {
    let started = Frame::Started { pid: 7 };
    let ready = Frame::Stdout(Bytes::from_static(b"ready"));
    match reports {
        true => vec![Frame::StdinTaken(0), started, ready],
        false => vec![started, ready],
    }
}

/// Starts a command and waits until its first word is out.
fn ready(daemon: &FakeDaemon, words: &[&str]) -> std::process::Child {
    let mut child = daemon.start(words);
    let mut word = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut word).unwrap();
    assert_eq!(&word, b"ready");
    child
}

#[test]
fn one_sigterm_ends_a_command_whose_guest_does_not_answer() {
    for reports in [true, false] {
        let (daemon, heard) = hearing(started(reports), |_| vec![]);
        let child = ready(&daemon, &["exec", "-n", "web", "x"]);
        let asked = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(heard.recv_timeout(DEADLINE), Ok(None));
        assert_eq!(heard.recv_timeout(DEADLINE), Ok(Some(Frame::Signal(15))));
        let finished = finish(child);
        assert_eq!(finished.exit, 143, "{}", finished.stderr);
        assert!(asked.elapsed() >= Duration::from_secs(5));
        assert!(
            finished.stderr.contains("did not take SIGTERM"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn a_command_that_acknowledges_sigterm_may_live_on() {
    let answer = |frame: &Frame| match frame {
        Frame::Signal(15) => vec![Frame::SignalTaken(15)],
        Frame::Stdin(_) => vec![Frame::Exit(ExitStatus::Code(5))],
        _ => vec![],
    };
    let (daemon, heard) = hearing(started(true), answer);
    let mut child = ready(&daemon, &["exec", "web", "x"]);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(heard.recv_timeout(DEADLINE), Ok(None));
    assert_eq!(heard.recv_timeout(DEADLINE), Ok(Some(Frame::Signal(15))));
    // Longer than an acknowledgement may take.
    std::thread::sleep(Duration::from_secs(6));
    child.stdin.as_mut().unwrap().write_all(b"end").unwrap();
    assert_eq!(finish(child).exit, 5);
}

#[test]
fn a_command_that_has_not_started_is_left_at_once() {
    for (signal, exit) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let (daemon, heard) = hearing(vec![], |_| vec![]);
        let child = daemon.start(&["exec", "web", "x"]);
        assert_eq!(heard.recv_timeout(DEADLINE), Ok(None));
        let asked = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let finished = finish(child);
        assert_eq!(finished.exit, exit, "{}", finished.stderr);
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_guest_that_does_not_start_a_command_has_a_deadline() {
    let (daemon, _heard) = hearing(vec![Frame::StdinTaken(0)], |_| vec![]);
    let finished = daemon.banger(&["exec", "web", "x"]);
    assert_eq!(finished.exit, 125);
    let message = "VM \"web\": its guest did not answer within 10 s";
    assert!(finished.stderr.contains(message), "{}", finished.stderr);
}

#[test]
fn the_result_of_a_command_is_one_object() {
    let first = vec![
        Frame::StdinTaken(0),
        Frame::Started { pid: 7 },
        Frame::Stdout(Bytes::from_static(b"out\n")),
        Frame::Stderr(Bytes::from_static(b"err\xff")),
        Frame::TimedOut,
        Frame::Exit(ExitStatus::Signal(15)),
    ];
    let (daemon, _heard) = hearing(first, |_| vec![]);
    let finished = daemon.banger(&["exec", "--json", "--timeout", "1m30s", "web", "x"]);
    assert_eq!((finished.exit, finished.stderr.as_str()), (124, ""));
    let result: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(
        result,
        serde_json::json!({
            "exit_code": 124, "signal": 15, "timed_out": true, "stdout": "out\n",
            "stderr": "err\u{fffd}", "stderr_base64": "ZXJy/w==",
        })
    );
    let exec = daemon
        .asked()
        .into_iter()
        .find(|asked| is_exec(&asked.what));
    assert_eq!(exec.unwrap().body["timeout_ms"], 90_000);
}

#[test]
fn an_agent_that_knows_no_time_is_told_to_end_the_command() {
    let answer = |frame: &Frame| match frame {
        Frame::Signal(15) => vec![Frame::Exit(ExitStatus::Signal(15))],
        _ => vec![],
    };
    let (daemon, _heard) = hearing(started(false), answer);
    let finished = daemon.banger(&["exec", "-n", "--timeout", "100ms", "web", "x"]);
    assert_eq!(finished.exit, 124, "{}", finished.stderr);
}

#[test]
fn secrets_need_not_stand_in_the_command_line() {
    let daemon = guest_that_takes(0, b"");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"# mine\nFILE=in file\nBOTH=in file\nTOKEN\nGONE\n")
        .unwrap();
    let path = file.path().to_str().unwrap();
    let words = [
        "exec",
        "-n",
        "-e",
        "HERE",
        "-e",
        "UNSET",
        "--env-file",
        path,
        "-e",
        "BOTH=x=y",
        "web",
        "env",
        "-0",
    ];
    let mut command = daemon.command(&words);
    command
        .env("HERE", "of here")
        .env("TOKEN", "sekrit")
        .stdin(Stdio::null());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(finish(child).exit, 0);
    let exec = daemon
        .asked()
        .into_iter()
        .find(|asked| is_exec(&asked.what))
        .unwrap();
    let env = serde_json::json!({
        "HERE": "of here", "TOKEN": "sekrit", "FILE": "in file", "BOTH": "x=y",
    });
    assert_eq!(exec.body["env"], env);
    assert_eq!(exec.body["argv"], serde_json::json!(["env", "-0"]));
    let missing = daemon.banger(&["exec", "--env-file", "/no/such", "web", "x"]);
    assert_eq!(missing.exit, 2);
    assert!(missing.stderr.contains("/no/such"), "{}", missing.stderr);
}
