//! The process that watches one detached command.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use banger_guest::limits::MAX_REQUEST;
use banger_guest::wire::frame::{Frame, FrameReader};
use banger_guest::{
    Configure, Configured, Detached, ExecRequest, ExitStatus, Failure, Phase, ShutdownMode,
};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWriteExt};

use super::log::LogWriter;
use super::record::{Record, Started, cut, now_ms};
use crate::cgroup;
use crate::failure::failure;
use crate::guest_state::{Defaults, Guest, Machine};
use crate::serve::{command, exec};

/// Bytes on the way from the command to its log.
const ON_THE_WAY: usize = 64 * 1024;
/// Largest order: a request, and the defaults of the guest.
const MAX_ORDER: u64 = MAX_REQUEST as u64 * 2;

/// Orders to a watcher, at its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) request: ExecRequest,
    pub(super) defaults: Defaults,
    pub(super) root: PathBuf,
}

/// Runs the command that standard input orders, and keeps its output and end in `folder`. Answers once at standard
/// output, when the command runs or does not, and leaves it then.
///
/// # Errors
/// There is no order, or its folder cannot be used.
pub fn watch(folder: &str) -> io::Result<()> {
    // Ctrl-C of a terminal that started the agent by hand, and its end, are not the command's.
    let _ = rustix::process::setsid();
    let record = Record::at(Path::new(folder));
    let _alive = record.keep_alive()?;
    let mut order = Vec::new();
    io::stdin().take(MAX_ORDER).read_to_end(&mut order)?;
    let order: Order = serde_json::from_slice(&order).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&record, order))
}

async fn run(record: &Record, order: Order) -> io::Result<()> {
    let guest = Guest::new(Arc::new(Place(order.root)), Phase::Running, order.defaults);
    let mut running = match command::start(&order.request, &guest) {
        Ok(running) => running,
        Err(failure) => return answer(&Detached::Failed(failure)),
    };
    let pid = running.child.id().unwrap_or(0);
    record.note_start(&Started {
        argv: cut(&order.request.argv),
        pid,
        unix_ms: now_ms(),
    })?;
    let log = LogWriter::begin(&record.folder)?;
    if let Some(shown) = record.shown() {
        answer(&Detached::Started(shown))?;
    }
    let (mut to, from) = tokio::io::duplex(ON_THE_WAY);
    let deaf = AtomicBool::new(false);
    let output = (running.stdout.take(), running.stderr.take());
    let drained = async {
        let draining = exec::Draining {
            pid: i32::try_from(pid).ok().and_then(Pid::from_raw),
            group: running.group.as_ref(),
            output,
            deaf: &deaf,
            timeout: order.request.timeout_ms.map(Duration::from_millis),
            reports: None,
        };
        let drained = draining.drain(&mut to, &mut running.child).await;
        let _ = to.shutdown().await;
        drained
    };
    // The log's side reads to the end whatever happens, so that the command's side always ends.
    let (_drained, status) = tokio::join!(drained, keep(from, log));
    record.note_end(status)
}

/// Puts output into the log until the command has ended.
async fn keep(from: impl AsyncRead + Unpin, mut log: LogWriter) -> Option<ExitStatus> {
    let mut frames = FrameReader::new(from);
    let mut status = None;
    while let Ok(Some(frame)) = frames.next().await {
        match frame {
            Frame::Exit(ended) => status = Some(ended),
            Frame::Stdout(_) | Frame::Stderr(_) => {
                // A full /run loses output; the command goes on.
                let _ = frame.to_bytes().map(|bytes| log.frame(&bytes));
            }
            _ => {}
        }
    }
    status
}

/// Answers, and leaves the pipes of whoever asked.
fn answer(answer: &Detached) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer).map_err(io::Error::other)?;
    text.push(b'\n');
    // The agent may be gone; the command runs all the same.
    let _ = io::stdout()
        .write_all(&text)
        .and_then(|()| io::stdout().flush());
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// The guest as far as a command needs it.
struct Place(PathBuf);

impl Machine for Place {
    fn configure(&self, _configure: &Configure) -> Result<Configured, Failure> {
        Err(failure(
            "guest",
            "configure",
            "this process runs one command",
        ))
    }
    fn shut_down(&self, _mode: ShutdownMode) -> Result<(), Failure> {
        Err(failure(
            "guest",
            "shut down",
            "this process runs one command",
        ))
    }
    fn root(&self) -> PathBuf {
        self.0.clone()
    }
    fn command_groups(&self) -> Option<PathBuf> {
        (self.0 == Path::new("/")).then(cgroup::of_commands)?
    }
}
