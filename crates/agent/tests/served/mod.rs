//! A host and an agent that talk through a socket pair, both in this process.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banger_agent::failure::failure;
use banger_agent::guest_state::{Defaults, Guest, Machine};
use banger_agent::serve::serve;
use banger_guest::wire::frame::{self, Frame, FrameReader};
use banger_guest::wire::handshake::Greeting;
use banger_guest::{
    CallStream, Client, ClockChange, ClockReading, ClockSet, Configure, Configured, ExecRequest,
    ExitStatus, Failure, Phase, RunningInit, SetClock, ShutdownMode,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::UnixStream;

/// Nothing here takes that long, unless it is broken.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A machine that only remembers what it was told.
#[derive(Default)]
pub struct Double {
    pub told: Mutex<Vec<String>>,
    /// Its clock, against that of the host, in nanoseconds.
    pub ahead_ns: i64,
}

impl Machine for Double {
    fn configure(&self, configure: &Configure) -> Result<Configured, Failure> {
        self.told
            .lock()
            .unwrap()
            .push(format!("configure {}", configure.hostname));
        if configure.hostname == "broken" {
            return Err(failure("disk base", "mount", "no such device"));
        }
        Ok(Configured {
            init: RunningInit::Agent,
            stages: vec![],
            boot_id: "b".into(),
            kernel: "k".into(),
            rows: vec![],
        })
    }

    fn hold(&self) -> Result<(), Failure> {
        self.told.lock().unwrap().push("hold".to_owned());
        Ok(())
    }

    fn set_clock(&self, to: SetClock) -> Result<ClockSet, Failure> {
        let now = self.read_clock();
        let wanted = to.unix_ns + (now.monotonic_ns - to.monotonic_ns);
        let offset_ns = now.unix_ns.cast_signed() - wanted.cast_signed();
        self.told.lock().unwrap().push("set clock".to_owned());
        Ok(ClockSet {
            offset_ns,
            change: ClockChange::Slewed,
        })
    }

    fn read_clock(&self) -> ClockReading {
        let now = banger_agent::clock::read();
        ClockReading {
            unix_ns: now.unix_ns.strict_add_signed(self.ahead_ns),
            ..now
        }
    }

    fn shut_down(&self, mode: ShutdownMode) -> Result<(), Failure> {
        self.told.lock().unwrap().push(format!("{mode:?}"));
        Ok(())
    }

    fn root(&self) -> PathBuf {
        PathBuf::from("/")
    }
}

pub async fn host_of(guest: Arc<Guest>) -> Client {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    tokio::spawn(async move { serve(&mut theirs, &guest).await });
    Client::connect(ours, Greeting::Running, DEADLINE)
        .await
        .unwrap()
        .with_deadline(DEADLINE)
}

pub async fn host() -> Client {
    let defaults = Defaults {
        env: [("LANG".to_owned(), "C.UTF-8".to_owned())].into(),
        ..Defaults::default()
    };
    host_of(Guest::new(
        Arc::new(Double::default()),
        Phase::Running,
        defaults,
    ))
    .await
}

pub fn shell(script: &str) -> ExecRequest {
    ExecRequest {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        ..ExecRequest::default()
    }
}

/// A running command.
pub struct Command {
    pub frames: FrameReader<ReadHalf<CallStream>>,
    pub to: WriteHalf<CallStream>,
}

pub async fn start(client: &Client, request: &ExecRequest) -> Command {
    let (from, to) = tokio::io::split(client.exec(request).await.unwrap());
    Command {
        frames: FrameReader::new(from),
        to,
    }
}

/// Outcome of a command.
#[derive(Debug, Default)]
pub struct Outcome {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    pub status: Option<ExitStatus>,
    pub failed: Option<banger_guest::ExecFailure>,
}

impl Outcome {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

impl Command {
    pub async fn send(&mut self, frame: Frame) {
        frame::write(&mut self.to, &frame).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(DEADLINE, self.frames.next())
            .await
            .expect("a frame in time")
            .unwrap()
    }

    /// Reads output until it contains the text.
    pub async fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            match self.next().await {
                Some(Frame::Stdout(bytes)) => seen.push_str(&String::from_utf8_lossy(&bytes)),
                Some(Frame::Started { .. }) => {}
                other => panic!("{other:?} before {text:?}, after {seen:?}"),
            }
        }
        seen
    }

    pub async fn outcome(mut self) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(frame) = self.next().await {
            match frame {
                Frame::Started { pid } => assert!(pid > 1),
                Frame::Stdout(bytes) => outcome.out.extend_from_slice(&bytes),
                Frame::Stderr(bytes) => outcome.err.extend_from_slice(&bytes),
                Frame::Exit(status) => outcome.status = Some(status),
                Frame::Failed(failure) => outcome.failed = Some(failure),
                other => panic!("{other:?} has no place here"),
            }
        }
        outcome
    }
}

pub async fn run(client: &Client, request: &ExecRequest) -> Outcome {
    start(client, request).await.outcome().await
}

/// Ends, at a deadline that only a bug can reach, when nobody holds the fifo open for writing any more.
pub async fn all_gone(fifo: std::fs::File) {
    let waiting = tokio::task::spawn_blocking(move || {
        let mut fifo = fifo;
        std::io::Read::read_to_end(&mut fifo, &mut Vec::new()).unwrap();
    });
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("processes to end")
        .unwrap();
}

/// A fifo, and its reading side.
pub fn fifo(folder: &std::path::Path) -> (PathBuf, std::fs::File) {
    use rustix::fs::{CWD, FileType, Mode, OFlags};
    let path = folder.join("fifo");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reading = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
    // Opened without waiting for a writer; read with waiting for the last one.
    rustix::fs::fcntl_setfl(&reading, OFlags::RDONLY).unwrap();
    (path, reading.into())
}
