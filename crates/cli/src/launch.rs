//! Starting a daemon in the background, and replacing one that is older than this program.
//!
//! ```text
//! start lock (flock)
//!   └─ does one answer by now? ──► done
//!      └─ spawn ourselves as `daemon run --background`
//!           stdin  /dev/null     stderr  the log file
//!           stdout a pipe ──► `ready`, or `error: …` and the error as JSON on the next line
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
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::endpoint::Endpoint;
use crate::failure::{api_error, host_error};

/// What a daemon in the background writes to its standard output when it answers calls.
pub const READY: &str = "ready";

/// How long a daemon may take until it answers: it may have to wait for the end of the one before, and to repair what a
/// crash left.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// How long a daemon may take to end: it waits for its operations.
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at something that gives no event: a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest report of a daemon that starts, in bytes.
const MAX_REPORT: u64 = 64 * 1024;
/// How much of the log is told when a daemon dies without a report, in lines.
const LOG_LINES: usize = 5;
/// How much of the log is looked at for that, in bytes.
const LOG_TAIL: u64 = 16 * 1024;

/// Starts a daemon, unless one answers by now.
///
/// # Errors
/// It cannot be started, and why.
pub async fn start(endpoint: &Endpoint, client: &Client) -> Result<(), ApiError> {
    let _lock = StartLock::take(endpoint).await?;
    if answers(&endpoint.socket).await && !is_leaving(client).await {
        return Ok(());
    }
    spawn(endpoint).await
}

/// Stops a daemon that is older than this program, or that is going down by itself, and starts one.
///
/// # Errors
/// It does not end, or none can be started, and why.
pub async fn replace(endpoint: &Endpoint, client: &Client) -> Result<(), ApiError> {
    let _lock = StartLock::take(endpoint).await?;
    // Another program may have replaced it while we waited for the lock.
    match client.daemon_status().await {
        Ok(_) if !is_outdated(endpoint, client) => return Ok(()),
        _ => {}
    }
    stop(client).await?;
    spawn(endpoint).await
}

/// Stops the daemon and waits until its process is gone. Answers whether there was one.
///
/// # Errors
/// It refuses, or does not end in time.
pub async fn stop(client: &Client) -> Result<bool, ApiError> {
    let status = match client.daemon_status().await {
        Ok(status) => status,
        Err(error) if error.is_no_daemon() => return Ok(false),
        // It is going down and answers no more than this.
        Err(ClientError::Api(error)) if error.code == ErrorCode::ShuttingDown => {
            return gone(client.socket()).await.map(|()| true);
        }
        Err(error) => return Err(api_error(error)),
    };
    let process = i32::try_from(status.pid)
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    match client.stop_daemon().await {
        Ok(()) => {}
        Err(error) if error.is_no_daemon() => {}
        Err(ClientError::Http { .. }) => {}
        Err(ClientError::Api(error)) if error.code == ErrorCode::ShuttingDown => {}
        Err(error) => return Err(api_error(error)),
    }
    match process {
        Some(process) => ended(process).await?,
        None => gone(client.socket()).await?,
    }
    Ok(true)
}

/// The daemon that answered last was built before this program.
pub fn is_outdated(endpoint: &Endpoint, client: &Client) -> bool {
    client
        .daemon_build()
        .is_some_and(|theirs| crate::endpoint::is_older(&theirs, &endpoint.build))
}

/// Held while a daemon is started or replaced; the kernel lets go of it when its holder dies.
#[derive(Debug)]
struct StartLock(#[allow(dead_code, reason = "held for its lock")] File);

impl StartLock {
    async fn take(endpoint: &Endpoint) -> Result<Self, ApiError> {
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
        let deadline = Instant::now() + START_DEADLINE + STOP_DEADLINE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(cannot(error.into())),
            }
        }
    }
}

async fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).await.is_ok()
}

async fn is_leaving(client: &Client) -> bool {
    match client.daemon_status().await {
        Err(ClientError::Api(error)) => error.code == ErrorCode::ShuttingDown,
        Err(error) => error.is_no_daemon(),
        Ok(_) => false,
    }
}

async fn spawn(endpoint: &Endpoint) -> Result<(), ApiError> {
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
    heard(report, endpoint, own_log).await
}

/// Waits for the daemon's report.
async fn heard(report: OwnedFd, endpoint: &Endpoint, own_log: u64) -> Result<(), ApiError> {
    let failed = |source: io::Error| host_error("cannot hear the daemon", &source);
    let report = Receiver::from_owned_fd(report).map_err(failed)?;
    let mut lines = BufReader::new(report.take(MAX_REPORT)).lines();
    let listening = async {
        let first = lines.next_line().await?;
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
            let error = body.map_or_else(|| died(endpoint, own_log), |body| body.error);
            // Someone runs one by hand, and it was faster.
            let other_runs = error.code == ErrorCode::WrongState && answers(&endpoint.socket).await;
            if other_runs { Ok(()) } else { Err(error) }
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

/// What a daemon told when it started.
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

/// A pidfd becomes readable when its process ends (pidfd_open(2)).
async fn ended(process: OwnedFd) -> Result<(), ApiError> {
    let failed = |source: io::Error| host_error("cannot wait for the daemon's end", &source);
    let waiting = tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + STOP_DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let left = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], left.as_ref()) {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    });
    match waiting.await {
        Ok(Ok(0)) => Err(does_not_end()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(errno)) => Err(failed(errno.into())),
        Err(panicked) => Err(failed(io::Error::other(panicked))),
    }
}

async fn gone(socket: &Path) -> Result<(), ApiError> {
    let deadline = Instant::now() + STOP_DEADLINE;
    while timeout_at(deadline, answers(socket)).await == Ok(true) {
        if Instant::now() >= deadline {
            return Err(does_not_end());
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

fn does_not_end() -> ApiError {
    ApiError::new(
        ErrorCode::Timeout,
        format!(
            "the daemon did not end within {} s",
            STOP_DEADLINE.as_secs()
        ),
    )
    .hint("banger daemon status names its process")
}
