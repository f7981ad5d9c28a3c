//! Ending a daemon, for good or for this program's own, without cutting what is under way in it.
//!
//! ```text
//! a change, and an older build is announced ──► start lock ──► "end, if nothing is under way"
//!      ├─ it ends ──► start our own
//!      └─ it is busy ──► it serves this command too; the next change asks again
//! ```
//!
//! There is never a second daemon beside one that is busy: the locks of VMs and of the store are in its memory.

use std::os::fd::OwnedFd;
use std::time::Duration;

use banger_api::system::{Activity, DaemonStatus, StopDaemon};
use banger_api::{ApiError, ErrorCode};
use banger_client::{Client, ClientError};
use banger_daemon::Holder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::endpoint::{Endpoint, is_older};
use crate::failure::{api_error, host_error};
use crate::launch::{self, StartLock};
use crate::older_daemon;
use crate::output::Output;

/// Time that a daemon may take to end: it waits for its operations.
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// A wait that is longer than this is told.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// The daemon of a state folder.
#[derive(Debug)]
pub enum Found {
    /// None runs.
    Nobody,
    /// This process starts or goes down.
    Silent(u32),
    /// It answers.
    Answers(Box<DaemonStatus>),
}

/// Looks for the daemon, starts none, and lets `client` call it.
///
/// # Errors
/// It does not answer, or one may not ask.
pub async fn find(endpoint: &Endpoint, client: &Client) -> Result<Found, ApiError> {
    endpoint.locate(client)?;
    for elsewhere in [false, true] {
        let holder = Holder::find(&endpoint.paths)?;
        if elsewhere {
            // One of a build that announces nothing, started with another environment.
            match holder.as_ref().and_then(|holder| holder.socket.as_deref()) {
                Some(socket) => client.move_to(socket),
                None => break,
            }
        }
        match client.daemon_status().await {
            Ok(status) => return Ok(Found::Answers(Box::new(status))),
            Err(error) if error.is_no_daemon() => {}
            Err(ClientError::Api(error)) if error.code == ErrorCode::ShuttingDown => break,
            Err(error) => return Err(api_error(error)),
        }
    }
    endpoint.paths.refuse_strangers()?;
    let holder = Holder::find(&endpoint.paths)?;
    Ok(holder.map_or(Found::Nobody, |holder| Found::Silent(holder.pid)))
}

/// Work that would be cut if this daemon ended.
///
/// # Errors
/// One of an older build cannot be asked.
pub async fn activity(status: &DaemonStatus, client: &Client) -> Result<Activity, ApiError> {
    match &status.activity {
        Some(activity) => Ok(activity.clone()),
        None => older_daemon::activity(status.pid, client).await,
    }
}

/// Stops the daemon and waits until its process is gone. Answers whether there was one. Without `force` it only ends
/// when nothing is under way.
///
/// # Errors
/// Something is under way, or it does not end in time.
pub async fn stop(
    endpoint: &Endpoint,
    client: &Client,
    force: bool,
    output: &Output,
) -> Result<bool, ApiError> {
    let status = match find(endpoint, client).await? {
        Found::Nobody => return Ok(false),
        Found::Silent(pid) => {
            let process = process(pid);
            output.note(&format!(
                "the daemon (process {pid}) is starting or ending: waiting for its end"
            ));
            return ended(process, pid).await.map(|()| true);
        }
        Found::Answers(status) => status,
    };
    end(
        &status,
        client,
        StopDaemon {
            force,
            replace: false,
        },
        output,
    )
    .await
    .map(|()| true)
}

/// Asks a daemon of an older build to make room for this program's own, once it has nothing under way. Otherwise it
/// stays, and serves.
///
/// # Errors
/// It began to end and does not, or our own does not start.
pub async fn offer(endpoint: &Endpoint, client: &Client, output: &Output) -> Result<(), ApiError> {
    let _lock = StartLock::take(endpoint, output).await?;
    // Another program may have replaced it while we waited for the lock.
    endpoint.locate(client)?;
    let Ok(status) = client.daemon_status().await else {
        return Ok(());
    };
    if !is_older(&status.build, &endpoint.build) {
        return Ok(());
    }
    let stop = StopDaemon {
        force: false,
        replace: true,
    };
    match end(&status, client, stop, output).await {
        Ok(()) => launch::spawn(endpoint, client, output).await,
        Err(error) if error.code == ErrorCode::WrongState => {
            if output.verbose() {
                output.note(&format!(
                    "an older build of the daemon serves this command: {}",
                    error.message
                ));
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn end(
    status: &DaemonStatus,
    client: &Client,
    stop: StopDaemon,
    output: &Output,
) -> Result<(), ApiError> {
    let process = process(status.pid);
    if status.activity.is_none() && !stop.force {
        let activity = older_daemon::activity(status.pid, client).await?;
        if !activity.is_empty() {
            return Err(activity.refuses_to_end());
        }
    }
    match client.stop_daemon(stop).await {
        Ok(()) => {}
        Err(error) if error.is_no_daemon() => {}
        // It ended before its answer was sent.
        Err(ClientError::Http { .. }) => {}
        Err(ClientError::Api(error)) if error.code == ErrorCode::ShuttingDown => {}
        Err(error) => return Err(api_error(error)),
    }
    let gone = ended(process, status.pid);
    let mut gone = std::pin::pin!(gone);
    match tokio::time::timeout(TOLD_AFTER, &mut gone).await {
        Ok(result) => result,
        Err(_elapsed) => {
            output.note(&format!(
                "waiting for the daemon's operations (process {})",
                status.pid
            ));
            gone.await
        }
    }
}

fn process(pid: u32) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// A pidfd becomes readable when its process ends (pidfd_open(2)).
async fn ended(process: Option<OwnedFd>, pid: u32) -> Result<(), ApiError> {
    // None: it was gone before one could look.
    let Some(process) = process else {
        return Ok(());
    };
    let failed = |source: std::io::Error| host_error("cannot wait for the daemon's end", &source);
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
        Ok(Ok(0)) => Err(does_not_end(pid)),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(errno)) => Err(failed(errno.into())),
        Err(panicked) => Err(failed(std::io::Error::other(panicked))),
    }
}

fn does_not_end(pid: u32) -> ApiError {
    ApiError::new(
        ErrorCode::Timeout,
        format!(
            "the daemon (process {pid}) did not end within {} s",
            STOP_DEADLINE.as_secs()
        ),
    )
    .hint(format!("kill {pid} ends it; VMs run on"))
}
