//! Commands that go on without the host that started them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(clippy::panic, reason = "helpers of tests fail as tests do")]

mod served;

use std::path::PathBuf;
use std::sync::Arc;

use banger_agent::guest_state::{Defaults, Guest, Machine};
use banger_guest::wire::frame::{Frame, FrameReader};
use banger_guest::{
    Attach, CallStream, Client, ClientError, Configure, Configured, Detached, DetachedCommand,
    ExecFailureKind, ExecRequest, ExitStatus, Failure, Phase, ShutdownMode,
};
use served::{Double, host_of, shell};

/// A guest whose detached commands are kept in a folder of the test.
struct Place {
    double: Double,
    folder: PathBuf,
}

impl Machine for Place {
    fn configure(&self, configure: &Configure) -> Result<Configured, Failure> {
        self.double.configure(configure)
    }
    fn shut_down(&self, mode: ShutdownMode) -> Result<(), Failure> {
        self.double.shut_down(mode)
    }
    fn detached_folder(&self) -> PathBuf {
        self.folder.clone()
    }
    fn program(&self) -> PathBuf {
        env!("CARGO_BIN_EXE_banger-agent").into()
    }
}

async fn host(folder: &tempfile::TempDir) -> Client {
    let place = Place {
        double: Double::default(),
        folder: folder.path().join("exec"),
    };
    let defaults = Defaults {
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        ..Defaults::default()
    };
    host_of(Guest::new(Arc::new(place), Phase::Running, defaults)).await
}

async fn detach(host: &Client, request: &ExecRequest) -> DetachedCommand {
    match host.detach(request).await.unwrap() {
        Detached::Started(command) => command,
        Detached::Failed(failure) => panic!("not started: {failure:?}"),
    }
}

async fn follow(host: &Client, id: u32, output: bool) -> FrameReader<CallStream> {
    FrameReader::new(host.attach(Attach { id, output }).await.unwrap())
}

/// Output of a command. The order of one stream is promised, that of one against the other is not.
struct Said {
    out: String,
    err: String,
    last: Frame,
}

async fn to_the_end(mut frames: FrameReader<CallStream>) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    loop {
        match frames.next().await.unwrap().unwrap() {
            Frame::Stdout(bytes) => out.extend_from_slice(&bytes),
            Frame::Stderr(bytes) => err.extend_from_slice(&bytes),
            Frame::Started { .. } => {}
            last => {
                let (out, err) = (text(out), text(err));
                return Said { out, err, last };
            }
        }
    }
}

#[tokio::test]
async fn a_command_outlives_its_host_and_is_followed_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let first = host(&folder).await;
    let gate_text = gate.display();
    let script =
        format!("mkfifo {gate_text}; echo $GREETING; cat {gate_text}; echo end >&2; exit 7");
    let command = detach(&first, &shell(&script)).await;
    assert_eq!(command.ended, None);
    drop(first);

    let second = host(&folder).await;
    let listed = second.detached().await.unwrap();
    assert_eq!((listed.len(), listed[0].id), (1, command.id));
    assert_eq!(listed[0].argv[0], "sh");
    let mut frames = follow(&second, command.id, true).await;
    let started = frames.next().await.unwrap();
    assert_eq!(started, Some(Frame::Started { pid: command.pid }));
    let early = frames.next().await.unwrap();
    assert!(matches!(early, Some(Frame::Stdout(text)) if &text[..] == b"hello\n"));
    std::fs::write(&gate, "through\n").unwrap();
    let seven = Frame::Exit(ExitStatus::Code(7));
    let said = to_the_end(frames).await;
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("through\n", "end\n")
    );
    assert_eq!(said.last, seven);

    let again = to_the_end(follow(&second, command.id, true).await).await;
    assert_eq!(
        (again.out.as_str(), again.err.as_str()),
        ("hello\nthrough\n", "end\n")
    );
    let waited = to_the_end(follow(&second, command.id, false).await).await;
    assert_eq!((waited.out.as_str(), waited.err.as_str()), ("", ""));
    assert_eq!(waited.last, seven);
}

#[tokio::test]
async fn a_signal_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder).await;
    let command = detach(&host, &shell("kill -KILL $$")).await;
    let Said { last, .. } = to_the_end(follow(&host, command.id, false).await).await;
    assert_eq!(last, Frame::Exit(ExitStatus::Signal(9)));
}

#[tokio::test]
async fn what_cannot_be_started_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder).await;
    let request = ExecRequest {
        argv: vec!["/nonsense".to_owned()],
        ..ExecRequest::default()
    };
    let Detached::Failed(failure) = host.detach(&request).await.unwrap() else {
        panic!("it was started")
    };
    assert_eq!(failure.kind, ExecFailureKind::NotFound);
    assert!(host.detached().await.unwrap().is_empty());
    let input = ExecRequest {
        stdin: true,
        ..shell("true")
    };
    let refused = host.detach(&input).await.unwrap_err();
    assert!(matches!(refused, ClientError::Failed { .. }), "{refused}");
}

#[tokio::test]
async fn a_number_that_nobody_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder).await;
    let Said { last, .. } = to_the_end(follow(&host, 99, true).await).await;
    assert!(matches!(last, Frame::Failed(failure) if failure.message.contains("99")));
}

#[tokio::test]
async fn endless_output_is_bounded_and_its_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder).await;
    let script = "i=0; while [ $i -lt 600 ]; do printf '%010000d' $i; i=$((i+1)); done; echo last";
    let command = detach(&host, &shell(script)).await;
    let Said { last, .. } = to_the_end(follow(&host, command.id, false).await).await;
    assert_eq!(last, Frame::Exit(ExitStatus::Code(0)));
    let listed = host.detached().await.unwrap();
    assert!(listed[0].log_cut && listed[0].log_bytes < 3 * 1024 * 1024);
    let said = to_the_end(follow(&host, command.id, true).await).await;
    assert!(said.out.ends_with("599last\n"), "{}", said.out.len());
}
