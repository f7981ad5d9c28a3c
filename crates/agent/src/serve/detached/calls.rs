//! Starting, listing and following, for the host.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use banger_guest::limits::MAX_ANSWER;
use banger_guest::wire::frame::{self, Frame};
use banger_guest::{
    Attach, Detached, DetachedCommand, ExecFailure, ExecFailureKind, ExecRequest, Failure,
};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Command;

use super::log::LogReader;
use super::record::{self, Record};
use super::watcher::Order;
use crate::failure::failure;
use crate::guest_state::Guest;
use crate::serve::reply::CallIo;
use crate::serve::reply::running;

/// Time for a watcher to start its command.
const STARTING: Duration = Duration::from_secs(8);
/// Between two looks at a log that has nothing new.
const LOOK: Duration = Duration::from_millis(50);

/// Name of a watcher in the list of processes.
const WATCHER: &str = "banger-detached";

/// Starts a command that goes on without the host.
pub(in crate::serve) async fn detach(
    request: ExecRequest,
    guest: &Arc<Guest>,
) -> Result<Detached, Failure> {
    running(guest)?;
    if request.tty.is_some() || request.stdin {
        return Err(failed("it gets neither a terminal nor input"));
    }
    let record = Record::make(&guest.machine().detached_folder()).map_err(failed)?;
    let started = tokio::time::timeout(STARTING, start(&record, request, guest)).await;
    let started = match started {
        Ok(started) => started,
        Err(_late) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    if !matches!(started, Ok(Detached::Started(_))) {
        // What cannot be removed is the folder of a command that nobody will ask for.
        let _ = record.remove();
    }
    started.map_err(failed)
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    failure("detached command", "start", cause)
}

async fn start(record: &Record, request: ExecRequest, guest: &Arc<Guest>) -> io::Result<Detached> {
    let machine = guest.machine();
    let order = Order {
        request,
        defaults: guest.defaults(),
        root: machine.root(),
    };
    let order = serde_json::to_vec(&order).map_err(io::Error::other)?;
    let mut watcher = Command::new(machine.program());
    watcher
        .arg0(WATCHER)
        .arg("detached")
        .arg(&record.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut watcher = watcher.spawn()?;
    if let Some(mut stdin) = watcher.stdin.take() {
        stdin.write_all(&order).await?;
        stdin.shutdown().await?;
    }
    let mut answer = Vec::new();
    if let Some(stdout) = watcher.stdout.take() {
        let mut stdout = stdout.take(MAX_ANSWER as u64);
        stdout.read_to_end(&mut answer).await?;
    }
    // The runtime reaps it whenever it ends.
    drop(watcher);
    serde_json::from_slice(&answer).map_err(io::Error::other)
}

/// All that were started, the oldest first.
pub(in crate::serve) fn list(guest: &Guest) -> Result<Vec<DetachedCommand>, Failure> {
    running(guest)?;
    let records = record::all(&guest.machine().detached_folder());
    Ok(records.iter().filter_map(Record::shown).collect())
}

/// Sends what a command has put out and puts out, then how it ended.
pub(in crate::serve) async fn attach(io: CallIo, request: Attach, guest: &Arc<Guest>) {
    let (mut from, mut to) = tokio::io::split(io);
    let records = record::all(&guest.machine().detached_folder());
    let found = records.into_iter().find(|record| record.id == request.id);
    let last = match found.and_then(|record| Some((record.shown()?, record))) {
        None => Some(refusal(format!(
            "there is no detached command {}",
            request.id
        ))),
        Some((shown, record)) => tokio::select! {
            last = follow(&mut to, &record, shown.pid, request.output) => last,
            () = until_gone(&mut from) => None,
        },
    };
    if let Some(last) = last {
        // A host that is gone needs no answer.
        let _ = frame::write(&mut to, &last).await;
    }
    let _ = to.shutdown().await;
}

/// The last frame; `None`: the host is gone.
async fn follow(
    to: &mut (impl AsyncWrite + Unpin),
    record: &Record,
    pid: u32,
    output: bool,
) -> Option<Frame> {
    frame::write(to, &Frame::Started { pid }).await.ok()?;
    let mut log = LogReader::new(&record.folder);
    loop {
        // Looked at first: the log is whole when the end is there.
        let end = record.end();
        if output && let Err(last) = pass_on(&mut log, to).await {
            return last;
        }
        if let Some(end) = end {
            let lost = || refusal("what watched it was ended, its code is not known".to_owned());
            return Some(end.status.map_or_else(lost, Frame::Exit));
        }
        to.flush().await.ok()?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Sends what is new. An error is the last frame, or none for a host that is gone.
async fn pass_on(
    log: &mut LogReader,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Option<Frame>> {
    let mut piece = BytesMut::new();
    loop {
        match log.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => to.write_all(&piece.split()).await.or(Err(None))?,
            Err(error) => {
                let why = format!("its output cannot be read: {error}");
                return Err(Some(refusal(why)));
            }
        }
    }
}

fn refusal(message: String) -> Frame {
    Frame::Failed(ExecFailure {
        kind: ExecFailureKind::Other,
        message,
    })
}

/// Whatever the host sends is not meant for the command; its end is that of the call.
async fn until_gone(from: &mut (impl AsyncRead + Unpin)) {
    let mut ignored = [0; 256];
    while matches!(from.read(&mut ignored).await, Ok(1..)) {}
}
