//! Commands, as a host runs them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod served;

use banger_guest::wire::frame::Frame;
use banger_guest::{ExecFailureKind, ExecRequest, ExitStatus, GuestPath, Tty};
use bytes::Bytes;
use served::{all_gone, fifo, host, run, shell, start};

#[tokio::test]
async fn a_command_gives_its_output_its_errors_and_its_code() {
    let outcome = run(&host().await, &shell("echo out; echo err >&2; exit 42")).await;
    assert_eq!(
        (outcome.text().as_str(), outcome.err.as_slice()),
        ("out\n", &b"err\n"[..])
    );
    assert_eq!(outcome.status, Some(ExitStatus::Code(42)));
}

#[tokio::test]
async fn a_command_that_a_signal_ends_says_which() {
    let outcome = run(&host().await, &shell("kill -TERM $$")).await;
    assert_eq!(outcome.status, Some(ExitStatus::Signal(15)));
}

#[tokio::test]
async fn input_arrives_and_its_end_too() {
    let mut command = start(
        &host().await,
        &ExecRequest {
            stdin: true,
            ..shell("cat; echo end")
        },
    )
    .await;
    command
        .send(Frame::Stdin(Bytes::from_static(b"one ")))
        .await;
    command
        .send(Frame::Stdin(Bytes::from_static(b"two ")))
        .await;
    command.send(Frame::StdinEof).await;
    assert_eq!(command.outcome().await.text(), "one two end\n");
}

#[tokio::test]
async fn without_input_a_command_reads_nothing() {
    let outcome = run(&host().await, &shell("cat; echo end")).await;
    assert_eq!(outcome.text(), "end\n");
}

#[tokio::test]
async fn megabytes_arrive_whole_in_both_directions() {
    let mut command = start(
        &host().await,
        &ExecRequest {
            stdin: true,
            ..shell("cat")
        },
    )
    .await;
    let piece: Bytes = (0..=255).cycle().take(60_000).collect::<Vec<u8>>().into();
    let mut to = command.to;
    let sent = piece.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..50 {
            banger_guest::wire::frame::write(&mut to, &Frame::Stdin(sent.clone()))
                .await
                .unwrap();
        }
        banger_guest::wire::frame::write(&mut to, &Frame::StdinEof)
            .await
            .unwrap();
        to
    });
    let mut received = Vec::new();
    loop {
        match command.frames.next().await.unwrap() {
            Some(Frame::Stdout(bytes)) => received.extend_from_slice(&bytes),
            Some(Frame::Exit(status)) => {
                assert_eq!(status, ExitStatus::Code(0));
                break;
            }
            Some(Frame::Started { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(
        received == piece.repeat(50),
        "{} bytes came back",
        received.len()
    );
    sending.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let client = host().await;
    let program = |name: &str| ExecRequest {
        argv: vec![name.into()],
        ..ExecRequest::default()
    };
    let kind = |failure: Option<banger_guest::ExecFailure>| failure.unwrap().kind;
    assert_eq!(
        kind(run(&client, &program("no-such-program")).await.failed),
        ExecFailureKind::NotFound
    );
    assert_eq!(
        kind(run(&client, &program("")).await.failed),
        ExecFailureKind::NotFound
    );
    assert_eq!(
        kind(run(&client, &program("/etc/passwd")).await.failed),
        ExecFailureKind::Permission
    );
    let nowhere = ExecRequest {
        cwd: Some(GuestPath::new("/no/such").unwrap()),
        ..shell("true")
    };
    assert_eq!(
        kind(run(&client, &nowhere).await.failed),
        ExecFailureKind::Cwd
    );
    let nobody = ExecRequest {
        user: Some("no-such-user".into()),
        ..shell("true")
    };
    assert_eq!(
        kind(run(&client, &nobody).await.failed),
        ExecFailureKind::User
    );
}

#[tokio::test]
async fn environment_and_directory_are_those_of_the_request_over_the_defaults() {
    let client = host().await;
    let mut request = shell("echo $LANG $HOME $EXTRA; pwd");
    request.env.insert("EXTRA".into(), "x y".into());
    request.cwd = Some(GuestPath::new("/usr").unwrap());
    let outcome = run(&client, &request).await;
    assert_eq!(outcome.text(), "C.UTF-8 /root x y\n/usr\n");
    request.env.insert("LANG".into(), "C".into());
    assert!(run(&client, &request).await.text().starts_with("C /root"));
    let bare = ExecRequest {
        argv: vec!["env".into()],
        ..ExecRequest::default()
    };
    let names = run(&client, &bare).await.text();
    assert!(
        !names.contains("CARGO"),
        "nothing of the agent's own environment: {names}"
    );
}

#[tokio::test]
async fn a_terminal_has_its_size_and_hears_of_a_new_one() {
    let tty = Some(Tty {
        rows: 24,
        cols: 80,
        term: "xterm".into(),
    });
    let script =
        "stty size; trap 'stty size; exit 3' WINCH; echo ready $TERM; while :; do read line; done";
    let mut command = start(
        &host().await,
        &ExecRequest {
            tty,
            ..shell(script)
        },
    )
    .await;
    assert!(command.until("ready xterm").await.contains("24 80"));
    command
        .send(Frame::Resize {
            rows: 50,
            cols: 132,
        })
        .await;
    // A shell runs the trap when its read ends.
    command.send(Frame::Stdin(Bytes::from_static(b"\n"))).await;
    let outcome = command.outcome().await;
    assert!(outcome.text().contains("50 132"), "{outcome:?}");
    assert_eq!(outcome.status, Some(ExitStatus::Code(3)));
}

#[tokio::test]
async fn the_interrupt_key_of_a_terminal_reaches_the_command() {
    let tty = Some(Tty {
        rows: 24,
        cols: 80,
        term: "xterm".into(),
    });
    // No program is started after the word: a shell loses what arrives while it forks.
    let script = "trap 'exit 7' INT; echo ready; while :; do read line; done";
    let mut command = start(
        &host().await,
        &ExecRequest {
            tty,
            ..shell(script)
        },
    )
    .await;
    command.until("ready").await;
    command
        .send(Frame::Stdin(Bytes::from_static(b"\x03")))
        .await;
    assert_eq!(command.outcome().await.status, Some(ExitStatus::Code(7)));
}

#[tokio::test]
async fn a_signal_reaches_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let (path, reading) = fifo(folder.path());
    let script = format!("exec 3>{}; sleep 1000 & echo ready; wait", path.display());
    let mut command = start(&host().await, &shell(&script)).await;
    command.until("ready").await;
    command.send(Frame::Signal(15)).await;
    assert_eq!(command.outcome().await.status, Some(ExitStatus::Signal(15)));
    all_gone(reading).await;
}

#[tokio::test]
async fn a_host_that_drops_the_call_takes_the_command_and_its_children_with_it() {
    let client = host().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, reading) = fifo(folder.path());
    // Deaf to the hang-up: then it is killed.
    let script = format!(
        "exec 3>{}; trap '' HUP; sleep 1000 & echo ready; wait",
        path.display()
    );
    let mut command = start(&client, &shell(&script)).await;
    command.until("ready").await;
    drop(command);
    all_gone(reading).await;
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_host_that_disconnects_takes_all_its_commands_with_it() {
    let client = host().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, reading) = fifo(folder.path());
    let mut command = start(
        &client,
        &shell(&format!(
            "exec 3>{}; echo ready; sleep 1000",
            path.display()
        )),
    )
    .await;
    command.until("ready").await;
    drop(client);
    drop(command);
    all_gone(reading).await;
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_does_not_outlive_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let (path, reading) = fifo(folder.path());
    let script = format!("exec 3>{}; echo ready; sleep 1000", path.display());
    let client = host().await;
    let mut command = start(
        &client,
        &ExecRequest {
            stdin: true,
            ..shell(&script)
        },
    )
    .await;
    command.until("ready").await;
    let piece = Bytes::from(vec![0; 60_000]);
    // Until nothing more is taken.
    let full = std::time::Duration::from_millis(300);
    let filling = async {
        loop {
            command.send(Frame::Stdin(piece.clone())).await;
        }
    };
    let _: Result<(), _> = tokio::time::timeout(full, filling).await;
    drop(command);
    all_gone(reading).await;
    client.ping().await.unwrap();
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_hold_back_its_exit() {
    let outcome = run(&host().await, &shell("sleep 1000 & echo $!")).await;
    assert_eq!(outcome.status, Some(ExitStatus::Code(0)));
    let left: i32 = outcome.text().trim().parse().unwrap();
    // It lives on, as it should; here it has done its part.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(left).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[tokio::test]
async fn a_frame_that_has_no_place_ends_the_call_and_the_command_only() {
    let client = host().await;
    let mut command = start(&client, &shell("echo ready; sleep 1000")).await;
    command.until("ready").await;
    command.send(Frame::End).await;
    assert_eq!(command.outcome().await.status, None);
    client.ping().await.unwrap();
}
