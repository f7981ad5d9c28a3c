//! Reports on a command to a host that understands them, beside its output.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod served;

use banger_guest::limits::STDIN_WINDOW;
use banger_guest::wire::frame::Frame;
use banger_guest::{ExecRequest, ExitStatus};
use bytes::Bytes;
use served::{Command, all_gone, fifo, host, shell, start};

fn reporting(script: &str) -> ExecRequest {
    ExecRequest {
        stdin: true,
        reports: true,
        ..shell(script)
    }
}

/// Everything to the end: reports as they came, output in one piece.
#[derive(Debug, Default)]
struct Told {
    reports: Vec<Frame>,
    out: String,
    status: Option<ExitStatus>,
}

impl Told {
    /// The input that was taken in the end.
    fn taken(&self) -> u64 {
        let taken = self.reports.iter().rev().find_map(|frame| match frame {
            Frame::StdinTaken(bytes) => Some(*bytes),
            _ => None,
        });
        taken.unwrap_or(0)
    }
}

async fn told(mut command: Command) -> Told {
    let mut told = Told::default();
    while let Some(frame) = command.next().await {
        match frame {
            Frame::Stdout(bytes) => told.out.push_str(&String::from_utf8_lossy(&bytes)),
            Frame::Exit(status) => told.status = Some(status),
            report => told.reports.push(report),
        }
    }
    told
}

fn input(text: &'static str) -> Frame {
    Frame::Stdin(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn input_that_a_command_leaves_is_told_from_input_that_it_reads() {
    // A shell reads a pipe byte by byte, so that nothing behind its line is gone.
    let mut command = start(&host().await, &reporting("read a; read b; echo $b$a")).await;
    command.send(input("one\ntwo\nthree\n")).await;
    let told = told(command).await;
    assert_eq!(told.out, "twoone\n");
    assert_eq!(told.reports[0], Frame::StdinTaken(0), "before all else");
    assert!(matches!(told.reports[1], Frame::Started { .. }));
    assert_eq!(told.taken(), 8);
}

#[tokio::test]
async fn a_command_that_reads_nothing_takes_nothing() {
    let mut command = start(&host().await, &reporting("sleep 0.1")).await;
    command.send(input("one\n")).await;
    command.send(Frame::StdinEof).await;
    let told = told(command).await;
    assert_eq!((told.taken(), told.status), (0, Some(ExitStatus::Code(0))));
}

#[tokio::test]
async fn input_is_told_as_it_is_read_and_its_end_arrives() {
    let mut command = start(&host().await, &reporting("cat; echo end")).await;
    command.send(input("12345")).await;
    loop {
        match command.next().await {
            Some(Frame::StdinTaken(5)) => break,
            Some(_) => {}
            None => panic!("no report"),
        }
    }
    command.send(input("6")).await;
    command.send(Frame::StdinEof).await;
    let told = told(command).await;
    assert!(told.out.ends_with("6end\n"), "{}", told.out);
    assert_eq!(told.taken(), 6);
}

#[tokio::test]
async fn a_signal_is_acknowledged_behind_a_whole_window_of_input_that_nobody_reads() {
    let request =
        reporting("trap 'echo trapped; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    let mut command = start(&host().await, &request).await;
    loop {
        match command.next().await {
            Some(Frame::Stdout(bytes)) if &bytes[..] == b"ready\n" => break,
            Some(_) => {}
            None => panic!("it ended"),
        }
    }
    // The smallest pieces that there are.
    for _ in 0..STDIN_WINDOW / 64 {
        command.send(input("x")).await;
    }
    command
        .send(Frame::Stdin(Bytes::from(vec![b'y'; 63 * 1024])))
        .await;
    command
        .send(Frame::Stdin(Bytes::from(vec![b'y'; 64 * 1024])))
        .await;
    command.send(Frame::Signal(15)).await;
    let told = told(command).await;
    assert!(told.reports.contains(&Frame::SignalTaken(15)));
    assert_eq!(told.out, "trapped\n");
    assert_eq!((told.taken(), told.status), (0, Some(ExitStatus::Code(3))));
}

#[tokio::test]
async fn a_terminal_takes_what_is_typed() {
    let request = ExecRequest {
        tty: Some(banger_guest::Tty {
            rows: 24,
            cols: 80,
            term: "xterm".into(),
        }),
        ..reporting("read a; echo got $a")
    };
    let mut command = start(&host().await, &request).await;
    command.send(input("typed\n")).await;
    let told = told(command).await;
    assert!(told.out.contains("got typed"), "{}", told.out);
    assert_eq!(told.taken(), 6);
}

#[tokio::test]
async fn a_command_that_has_had_its_time_ends_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let (path, reading) = fifo(folder.path());
    // One that leaves the session, one that leaves the group and hears no signal but KILL.
    let script = format!(
        "exec 9>{}; setsid sleep 1000 & set -m; (trap '' TERM; while :; do sleep 1000; done) & set +m; wait",
        path.display()
    );
    let request = ExecRequest {
        timeout_ms: Some(500),
        ..reporting(&script)
    };
    let told = told(start(&host().await, &request).await).await;
    assert!(told.reports.contains(&Frame::TimedOut));
    assert_eq!(told.status, Some(ExitStatus::Signal(15)));
    all_gone(reading).await;
}

#[tokio::test]
async fn a_command_that_hears_no_term_is_killed() {
    let request = ExecRequest {
        timeout_ms: Some(100),
        ..reporting("trap '' TERM; while :; do sleep 0.1; done")
    };
    let told = told(start(&host().await, &request).await).await;
    assert_eq!(told.status, Some(ExitStatus::Signal(9)));
}

#[tokio::test]
async fn a_command_that_ends_in_time_is_as_without_one() {
    let request = ExecRequest {
        timeout_ms: Some(3_600_000),
        ..reporting("exit 4")
    };
    let told = told(start(&host().await, &request).await).await;
    assert!(!told.reports.contains(&Frame::TimedOut));
    assert_eq!(told.status, Some(ExitStatus::Code(4)));
}
