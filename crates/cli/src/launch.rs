//! Starting a daemon in the background.
//!
//! ```text
//! start lock (flock)
//!   └─ does one answer by now? ──► done
//!      └─ spawn ourselves as `daemon run --background`
//!           stdin  /dev/null     stderr  the log file
//!           stdout a pipe ──► `waiting: …` when the lock is held, then
//!                             `ready`, or `error: …` and the error as JSON on the next line
//! ```
//!
//! The lock keeps two programs that start at once from starting or stopping each other's daemon; the daemon has a lock
//! of its own that keeps it alone whoever starts it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use banger_api::error::ErrorBody;
use banger_api::{ApiError, ErrorCode};
use banger_client::{Client, ClientError};
use banger_daemon::Holder;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep, timeout};

use crate::endpoint::Endpoint;
use crate::failure::host_error;
use crate::output::Output;

/// Line that a daemon in the background writes to its standard output when it answers calls.
pub const READY: &str = "ready";
/// Beginning of the line with which it says that it waits for another one's end.
const WAITING: &str = "waiting: ";

/// Time that a daemon may take until it answers: it may have to wait for the end of the one before, and to repair what
/// a crash left.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// A wait that is longer than this is told.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// Pause between two looks at something that gives no event: a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest report of a daemon that starts, in bytes.
const MAX_REPORT: u64 = 64 * 1024;
/// Part of the log that is told when a daemon dies without a report, in lines.
const LOG_LINES: usize = 5;
/// Part of the log that is looked at for that, in bytes.
const LOG_TAIL: u64 = 16 * 1024;

/// Starts a daemon, unless one answers by now.
///
/// # Errors
/// It cannot be started, and why.
pub async fn start(endpoint: &Endpoint, client: &Client, output: &Output) -> Result<(), ApiError> {
    endpoint.paths.refuse_strangers()?;
    let _lock = StartLock::take(endpoint, output).await?;
    endpoint.locate(client)?;
    if answers(client).await {
        return Ok(());
    }
    // One of a build that announces nothing, started with another environment.
    let holder = Holder::find(&endpoint.paths)?;
    if let Some(socket) = holder.and_then(|holder| holder.socket) {
        client.move_to(&socket);
        if answers(client).await {
            return Ok(());
        }
    }
    spawn(endpoint, client, output).await
}

/// Held while a daemon is started or replaced; the kernel lets go of it when its holder dies.
#[derive(Debug)]
pub struct StartLock(#[allow(dead_code, reason = "held for its lock")] File);

impl StartLock {
    /// Waits for it; a wait that lasts is told.
    ///
    /// # Errors
    /// The state folder cannot be used, or another program holds the lock for minutes.
    pub async fn take(endpoint: &Endpoint, output: &Output) -> Result<Self, ApiError> {
        let state = endpoint.paths.state();
        endpoint
            .prepare()
            .map_err(|source| host_error(format!("cannot make {}", state.display()), &source))?;
        let path = &endpoint.start_lock;
        let cannot =
            |source: io::Error| host_error(format!("cannot lock {}", path.display()), &source);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(cannot)?;
        let began = Instant::now();
        let mut told = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK) if began.elapsed() < 2 * START_DEADLINE => {
                    if !told && began.elapsed() > TOLD_AFTER {
                        told = true;
                        output.note("waiting: another banger starts or replaces the daemon");
                    }
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(cannot(error.into())),
            }
        }
    }
}

/// Somebody takes calls there, whatever the answer is. A daemon that goes down is none.
async fn answers(client: &Client) -> bool {
    match client.daemon_status().await {
        Err(ClientError::Api(error)) => error.code != ErrorCode::ShuttingDown,
        Err(error) => !error.is_no_daemon(),
        Ok(_) => true,
    }
}

/// Starts a daemon; the caller holds the start lock.
///
/// # Errors
/// It does not come up, and why.
pub async fn spawn(endpoint: &Endpoint, client: &Client, output: &Output) -> Result<(), ApiError> {
    let cannot = |what: &str, source: io::Error| {
        host_error(format!("cannot start the daemon: {what}"), &source)
    };
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&endpoint.log)
        .map_err(|source| cannot(&endpoint.log.display().to_string(), source))?;
    let (report, told) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| cannot("pipe", errno.into()))?;
    // What is in the log now is of others.
    let own_log = log.metadata().map_or(0, |meta| meta.len());
    // Through /proc, so that it is this very program even when its file was replaced since.
    let name = std::env::current_exe().unwrap_or_else(|_| "banger".into());
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(name)
        .args(["daemon", "run", "--background"])
        .stdin(Stdio::null())
        .stdout(Stdio::from(told))
        .stderr(Stdio::from(log));
    command
        .spawn()
        .map_err(|source| cannot("this program cannot be run again", source))?;
    // Our copy of the pipe's other end: the pipe ends with the daemon's copy.
    drop(command);
    let started = heard(report, endpoint, own_log, output).await;
    endpoint.locate(client)?;
    match started {
        // Someone runs one by hand, and it was faster.
        Err(error) if error.code == ErrorCode::WrongState && answers(client).await => Ok(()),
        started => started,
    }
}

/// Waits for the daemon's report.
async fn heard(
    report: OwnedFd,
    endpoint: &Endpoint,
    own_log: u64,
    output: &Output,
) -> Result<(), ApiError> {
    let failed = |source: io::Error| host_error("cannot hear the daemon", &source);
    let report = Receiver::from_owned_fd(report).map_err(failed)?;
    let mut lines = BufReader::new(report.take(MAX_REPORT)).lines();
    let listening = async {
        let mut first = lines.next_line().await?;
        while let Some(line) = first.as_deref().filter(|line| line.starts_with(WAITING)) {
            output.note(line);
            first = lines.next_line().await?;
        }
        if first.as_deref() == Some(READY) {
            return Ok(Report::Ready);
        }
        let error = lines.next_line().await?;
        Ok(Report::Ended(error.or(first)))
    };
    match timeout(START_DEADLINE, listening).await {
        Ok(Ok(Report::Ready)) => Ok(()),
        Ok(Ok(Report::Ended(told))) => {
            let body = told.and_then(|text| serde_json::from_str::<ErrorBody>(&text).ok());
            Err(body.map_or_else(|| died(endpoint, own_log), |body| body.error))
        }
        Ok(Err(source)) => Err(failed(source)),
        Err(_elapsed) => Err(ApiError::new(
            ErrorCode::Timeout,
            format!(
                "the daemon did not come up within {} s",
                START_DEADLINE.as_secs()
            ),
        )
        .hint(format!("its log: {}", endpoint.log.display()))),
    }
}

/// Report of a daemon that starts.
enum Report {
    /// It answers calls.
    Ready,
    /// It ended; this was its last line.
    Ended(Option<String>),
}

/// Its last words, from where its log began.
fn died(endpoint: &Endpoint, own_log: u64) -> ApiError {
    let mut message = "the daemon ended while it started".to_owned();
    if let Ok(log) = tail(&endpoint.log, own_log) {
        let tail = String::from_utf8_lossy(&log);
        let lines: Vec<_> = tail.lines().rev().take(LOG_LINES).collect();
        for line in lines.iter().rev() {
            message.push_str("\n  ");
            message.push_str(line);
        }
    }
    ApiError::new(ErrorCode::Internal, message).hint(format!("its log: {}", endpoint.log.display()))
}

fn tail(log: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut log = File::open(log)?;
    let len = log.metadata()?.len();
    log.seek(SeekFrom::Start(from.max(len.saturating_sub(LOG_TAIL))))?;
    let mut bytes = Vec::new();
    log.take(LOG_TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}
