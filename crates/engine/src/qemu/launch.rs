//! The way from a command line to a VMM that answers. After a failure, no process of the launch is left.
//!
//! ```text
//! folder free? ─► files, event pipe ─► spawn ─► pidfd, start time ─► reaper
//!                                                    │
//!                    ended? ─► its message ◄─── wait ┴─► monitor answers ─► VmmIdentity
//! ```

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_jail::{Delegation, Layers, Prepared};
use banger_process::{Children, Process, Start};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{end, failure, files, group, hang, jail, owner, saved, suspend};
use crate::jail::{JailMode, JailRecord};
use crate::qmp::Monitor;
use crate::trim;
use crate::{Accel, EngineError, EngineKind, IdentityVersion, Memory, VmmIdentity, VmmSpec};

/// Pause between two checks for the control socket: QEMU needs some 50 ms to make it.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Longest time for a killed process to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Puts QEMU's event monitor into command mode; without it no event is written.
pub(super) const NEGOTIATE: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";

/// A command line ready to run in the VM's folder, to which socket names are relative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    /// QEMU's executable.
    pub program: PathBuf,
    /// Its arguments, without the program's own name.
    pub args: Vec<OsString>,
    /// The jail for it.
    pub jail: JailMode,
    /// The layers that it may have.
    pub layers: Layers,
    /// The place of its control group.
    pub groups: Option<Delegation>,
}

pub(super) fn start(
    spec: &VmmSpec,
    launch: &Launch,
    children: &Children,
    deadline: Duration,
) -> Result<VmmIdentity, EngineError> {
    let began = Instant::now();
    free_folder(&spec.dir)?;
    let pipe = make_files(spec)?;
    let (process, mut id, number) = spawn(spec, launch, children)?;
    let incoming = number.map(|number| (number, &spec.memory));
    let result = confirm(&process, &id, incoming, deadline, began);
    drop(pipe);
    match result {
        Ok(()) => {}
        // The guest ran and ended before the check: that is no failure to start.
        Err(EngineError::Gone { .. }) if end::is_recorded(&spec.dir)? => {}
        Err(error) => {
            end_now(&process);
            let status = children.status(&id.process());
            return Err(failure::explain(error, spec, launch, status));
        }
    }
    // A wrapper may come before the program itself; by now it has executed the program.
    if let Some(exe) = banger_process::observe(id.pid)? {
        id.exe = exe;
    }
    tracing::debug!(
        pid = id.pid,
        vm = spec.vm_name,
        ms = began.elapsed().as_millis(),
        "VMM answers"
    );
    Ok(id)
}

/// Refuses a folder in which a QEMU lives: QEMU holds a lock on its pid file, so a stale file does no harm.
fn free_folder(dir: &Path) -> Result<(), EngineError> {
    let path = dir.join(files::PID_FILE);
    match OpenOptions::new().write(true).open(&path) {
        Ok(file) => match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => {
                return Err(EngineError::Occupied {
                    dir: dir.to_owned(),
                });
            }
            Err(e) => return Err(EngineError::io(format!("lock {}", path.display()))(e)),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(EngineError::io(format!("open {}", path.display()))(e)),
    }
    group::remove(dir)?;
    for name in files::ALL {
        let path = dir.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(EngineError::io(format!("remove {}", path.display()))(e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the files that QEMU expects, and returns the pipe, which must stay open until QEMU has opened it.
fn make_files(spec: &VmmSpec) -> Result<File, EngineError> {
    let private = |path: &Path| {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(EngineError::io(format!("open {}", path.display())))
    };
    let dir = &spec.dir;
    let wrote = |path: &Path| EngineError::io(format!("write {}", path.display()));
    let launch = dir.join(files::LAUNCH);
    private(&launch)?
        .write_all(spec.launch_token.as_str().as_bytes())
        .map_err(wrote(&launch))?;
    private(&dir.join(files::EVENTS_OUT))?;
    // QEMU writes into it: in its jail it makes no file.
    private(&dir.join(files::PID_FILE))?;
    if let Memory::File { file } = &spec.memory {
        saved::make_memory(file, spec.memory_mib)?;
    }
    trim::bounded(&spec.console_log, jail::file_max_bytes(spec))?;
    let mark = end::console_mark(&spec.launch_token, jiff::Timestamp::now());
    private(&spec.console_log)?
        .write_all(mark.as_bytes())
        .map_err(wrote(&spec.console_log))?;

    let path = dir.join(files::EVENTS_IN);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR)
        .map_err(EngineError::io(format!("make the pipe {}", path.display())))?;
    let mut pipe = open_pipe(&path)?;
    pipe.write_all(NEGOTIATE).map_err(wrote(&path))?;
    Ok(pipe)
}

/// Opens a pipe for both directions: then it neither waits for a reader nor loses its content.
pub(super) fn open_pipe(path: &Path) -> Result<File, EngineError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(EngineError::io(format!("open the pipe {}", path.display())))
}

/// Number of QEMU's descriptor with a state that it loads, and the memory that it is of.
type Incoming<'a> = (RawFd, &'a Memory);

/// A process that was started, and the number of its descriptor with a saved state, if it is given one.
type Spawned = (Process, VmmIdentity, Option<RawFd>);

fn spawn(spec: &VmmSpec, launch: &Launch, children: &Children) -> Result<Spawned, EngineError> {
    if launch.jail == JailMode::Off {
        return spawn_in(spec, launch, children, Layers::NONE, None);
    }
    let mut wanted = launch.layers;
    let mut why = None;
    loop {
        match spawn_in(spec, launch, children, wanted, why.clone()) {
            Err(EngineError::Jail(error)) if launch.jail == JailMode::Auto => {
                let Some(less) = wanted.without(&error) else {
                    return Err(error.into());
                };
                tracing::info!(%error, vm = spec.vm_name, "this VMM's jail lacks a layer");
                why.get_or_insert_with(|| crate::jail::told(&error));
                wanted = less;
            }
            other => return other,
        }
    }
}

/// One try, with exactly these layers.
fn spawn_in(
    spec: &VmmSpec,
    launch: &Launch,
    children: &Children,
    wanted: Layers,
    lacks: Option<String>,
) -> Result<Spawned, EngineError> {
    let group = match &launch.groups {
        Some(groups) if wanted.control_group => Some(group::make(spec, groups)?),
        _ => None,
    };
    let mut around = jail::of(spec, &launch.program, wanted);
    around.group = group;
    let prepared = Prepared::new(&around)?;
    let jail = JailRecord {
        layers: prepared.layers(),
        lacks,
        group: around.group.as_ref().map(|group| group.path().to_owned()),
    };
    let log_path = spec.dir.join(files::LOG);
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(EngineError::io(format!("open {}", log_path.display())))?;
    owner::hand_over(spec, jail.layers.user)?;
    let state = saved::open(&spec.memory)?;
    let number = state.as_ref().map(AsRawFd::as_raw_fd);
    let start = Start {
        program: &launch.program,
        args: &launch.args,
        // Its messages are parsed: they must be in English.
        env: &[("LC_ALL".into(), "C".into())],
        cwd: &around.cwd,
        stderr: log,
        descriptors: state.into_iter().map(OwnedFd::from).collect(),
        without_huge_pages: spec.accel == Accel::Tcg,
        jail: Some(prepared),
        token: spec.launch_token.as_str(),
    };
    let (process, started) = start.start(children)?;
    let id = VmmIdentity {
        version: IdentityVersion::NEWEST,
        engine: EngineKind::Qemu,
        pid: started.pid,
        start_ticks: started.start_ticks,
        boot_id: started.boot_id,
        exe: started.exe,
        launch_token: spec.launch_token.clone(),
        control_socket: spec.dir.join(files::CONTROL_SOCKET),
        channel_socket: spec.dir.join(files::CHANNEL_SOCKET),
        console_log: spec.console_log.clone(),
        jail: Some(jail),
    };
    Ok((process, id, number))
}

/// Waits for the monitor, checks that events are recorded, and lets the guest run.
fn confirm(
    process: &Process,
    id: &VmmIdentity,
    incoming: Option<Incoming<'_>>,
    deadline: Duration,
    began: Instant,
) -> Result<(), EngineError> {
    let mut look_again = Duration::ZERO;
    loop {
        if process.has_ended(look_again)? {
            return Err(EngineError::Gone { pid: id.pid });
        }
        look_again = LOOK_AGAIN;
        let left = deadline.saturating_sub(began.elapsed());
        if left.is_zero() {
            let what = "the VMM's monitor did not answer".to_owned();
            return Err(EngineError::Timeout {
                what,
                after: deadline,
            });
        }
        match let_run(id, incoming, left) {
            Ok(()) => return Ok(()),
            Err(EngineError::Io { source, .. }) if is_not_there_yet(&source) => {}
            // The monitor may have closed because QEMU ends: then QEMU's records count.
            Err(error) => {
                let broke_off = !matches!(error, EngineError::Timeout { .. });
                let gone = hang::is_over(process, id.dir())?
                    || broke_off && process.has_ended(left.min(END_WITHIN))?;
                return Err(if gone {
                    EngineError::Gone { pid: id.pid }
                } else {
                    error
                });
            }
        }
    }
}

fn let_run(
    id: &VmmIdentity,
    incoming: Option<Incoming<'_>>,
    within: Duration,
) -> Result<(), EngineError> {
    let mut monitor = Monitor::open(&id.control_socket, id.pid, within)?;
    // The event monitor got its command before this one, but may be served later.
    while !end::is_recording(id.dir())? {
        monitor.execute("query-status")?;
    }
    if let Some((state, memory)) = incoming {
        let apart = matches!(memory, Memory::Saved { .. });
        saved::memory_apart(&mut monitor, apart)?;
        saved::load(&mut monitor, state)?;
        if let Memory::Suspended { state } = memory {
            suspend::spend(state)?;
        }
    }
    monitor.execute("cont").map(drop)
}

/// Tells whether there is no socket file, or one on which no process listens.
fn is_not_there_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn end_now(process: &Process) {
    let ended = process.end(END_WITHIN);
    if !matches!(ended, Ok(true)) {
        tracing::warn!(?ended, "a VMM whose start failed has not ended");
    }
}
