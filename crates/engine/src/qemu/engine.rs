//! [`Engine`] for QEMU: each call identifies the process first, then acts on it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use banger_jail::{Delegation, Layers};
use banger_process::{Children, Found, Process, Program, Seen, Signal};
use serde_json::Value;

use super::launch::Launch;
use super::{
    command_line, disks, end, files, group, hang, jail, launch, limit, owner, probe, saved,
    suspend, trial,
};
use crate::host::{self, HostFacts};
use crate::jail::{JailMode, JailTrial};
use crate::qmp::Monitor;
use crate::trim;
use crate::{
    Accel, Engine, EngineError, EngineKind, ExitCause, IdentityVersion, LaunchToken, NewTop, Probe,
    VmmIdentity, VmmSpec, VmmState,
};

/// Longest wait for a monitor's answer if the caller sets no deadline.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of QEMU's log and records that are kept.
const LOG_MAX_BYTES: u64 = 256 * 1024;

/// Test for QEMU itself: a wrapper script or a tracer with the same arguments is not the VMM.
const PROCESSES: Program = Program {
    is_executable: is_qemu,
    token_of: files::token_of,
};

/// QEMU as an engine. Cheap to clone; clones share the list of VMMs that this process started.
#[derive(Debug, Clone)]
pub struct QemuEngine {
    program: Option<PathBuf>,
    host: command_line::Host,
    children: Children,
    version: OnceLock<Option<String>>,
    jail: JailMode,
    layers: Layers,
    groups: Option<Delegation>,
}

impl Default for QemuEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl QemuEngine {
    /// Uses the QEMU in `PATH`. Runs no program; takes some 4 ms to measure the host's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_program(host::find_program(probe::PROGRAM))
    }

    /// Uses the given QEMU executable, or none.
    #[must_use]
    pub fn with_program(program: Option<PathBuf>) -> Self {
        // The identity of a process has the executable's path without links.
        let program = program.map(|path| path.canonicalize().unwrap_or(path));
        let host = command_line::Host {
            has_qboot: program.as_deref().is_some_and(probe::has_qboot),
            tsc_khz: host::tsc_khz(),
        };
        Self {
            program,
            host,
            children: Children::default(),
            version: OnceLock::new(),
            jail: JailMode::Auto,
            layers: Layers::FULL,
            groups: None,
        }
    }

    /// The same engine with this jail for its VMMs.
    #[must_use]
    pub fn jailed(self, jail: JailMode) -> Self {
        Self { jail, ..self }
    }

    /// The same engine, whose jails have at most these layers: to see what each is worth.
    #[must_use]
    pub fn jailed_by(self, layers: Layers) -> Self {
        Self { layers, ..self }
    }

    /// The same engine, whose VMMs have control groups in this delegation.
    #[must_use]
    pub fn grouped(self, groups: Option<Delegation>) -> Self {
        Self { groups, ..self }
    }

    /// Tries the jail of a VMM on this host: a child enters it and ends. Some milliseconds.
    #[must_use]
    pub fn try_jail(&self) -> JailTrial {
        let program = self.program.as_deref().unwrap_or(Path::new("/usr/bin/env"));
        JailTrial::of(|wanted| jail::on_this_host(program, wanted))
    }

    /// The oldest version whose machines are those of [`super::command_line`], as major and minor number.
    pub const OLDEST: (u32, u32) = (6, 2);

    /// The oldest version with a datagram link to a network process (`-netdev dgram`), as major and minor number.
    pub const DATAGRAMS: (u32, u32) = (7, 2);

    /// Makes a machine with the accelerator and the network of VMs, and ends it before it runs anything. For `doctor`:
    /// that a program is there does not say that it works.
    ///
    /// # Errors
    /// The cause, in QEMU's own words where it said something.
    pub fn trial(&self, accel: Accel) -> Result<(), String> {
        match &self.program {
            Some(program) => trial::trial(program, accel),
            None => Err(format!("no {} found", probe::PROGRAM)),
        }
    }

    fn found(&self, id: &VmmIdentity) -> Result<Found, EngineError> {
        Ok(Process::open(&id.process(), &PROCESSES)?)
    }

    fn ask(&self, id: &VmmIdentity, command: &'static str) -> Result<Value, EngineError> {
        let process = Process::open_living(&id.process(), &PROCESSES)?;
        ask(&process, id, command)
    }

    fn prepare(&self, spec: &VmmSpec) -> Result<Launch, EngineError> {
        let args = command_line::arguments(spec, &self.host)?;
        let program = self.program.clone().ok_or_else(|| EngineError::Missing {
            program: probe::PROGRAM.to_owned(),
            package: probe::PACKAGE.to_owned(),
        })?;
        Ok(Launch {
            program,
            args,
            jail: self.jail,
            layers: self.layers,
            groups: self.groups.clone(),
        })
    }

    fn cause(&self, id: &VmmIdentity) -> Result<Option<ExitCause>, EngineError> {
        let remains = end::remains(id, self.children.status(&id.process()))?;
        let cause = remains.as_ref().map(end::cause);
        Ok(match cause {
            Some(ExitCause::Killed { .. } | ExitCause::Vanished)
                if group::was_too_small(id.dir()) =>
            {
                let message = "it used more memory than its control group allows".to_owned();
                Some(ExitCause::Failed { message })
            }
            cause => cause,
        })
    }
}

/// The pid that QEMU has written into the folder of a launch.
fn recorded_pid(dir: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(dir.join(files::PID_FILE)).ok()?;
    text.trim().parse().ok()
}

/// The identity of a process that was found; `None` when its token is none that a launch of ours can have.
fn identity(seen: Seen, dir: &Path) -> Option<VmmIdentity> {
    let process = seen.identity;
    Some(VmmIdentity {
        version: IdentityVersion::NEWEST,
        engine: EngineKind::Qemu,
        pid: process.pid,
        start_ticks: process.start_ticks,
        boot_id: process.boot_id,
        exe: process.exe,
        launch_token: process.token.parse().ok()?,
        control_socket: dir.join(files::CONTROL_SOCKET),
        channel_socket: dir.join(files::CHANNEL_SOCKET),
        console_log: command_line::console_log(&seen.args).unwrap_or_default(),
        jail: None,
    })
}

impl Engine for QemuEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Qemu
    }

    fn probe(&self) -> Probe {
        let facts = HostFacts::read();
        let available = self.program.clone().ok_or_else(|| {
            format!(
                "no {} found; install package {}",
                probe::PROGRAM,
                probe::PACKAGE
            )
        });
        let version = self
            .version
            .get_or_init(|| self.program.as_deref().and_then(probe::version))
            .clone();
        Probe {
            kind: EngineKind::Qemu,
            available,
            has_datagrams: version
                .as_deref()
                .and_then(probe::numbers)
                .is_some_and(|found| found >= Self::DATAGRAMS),
            version,
            accel: facts.accel,
            accel_reason: facts.accel_reason,
        }
    }

    fn start(&self, spec: &VmmSpec, deadline: Duration) -> Result<VmmIdentity, EngineError> {
        launch::start(spec, &self.prepare(spec)?, &self.children, deadline)
    }

    fn state(&self, id: &VmmIdentity) -> Result<VmmState, EngineError> {
        if let Found::Ours(process) = self.found(id)? {
            match ask(&process, id, "query-status") {
                Err(EngineError::Gone { .. }) => {}
                answer => return answer.map(|status| state_of(&status)),
            }
        }
        Ok(VmmState::Gone {
            cause: self.cause(id)?,
        })
    }

    fn find(
        &self,
        launch_token: &LaunchToken,
        dir: &Path,
    ) -> Result<Option<VmmIdentity>, EngineError> {
        // The pid file is only a hint: its pid is checked like any other.
        let found =
            banger_process::find(&PROCESSES, launch_token.as_str(), dir, recorded_pid(dir))?;
        Ok(found.and_then(|seen| identity(seen, dir)))
    }

    fn list(&self, parent: &Path) -> Result<Vec<VmmIdentity>, EngineError> {
        let found = banger_process::list(&PROCESSES, parent)?;
        let identity = |seen: Seen| {
            let dir = parent.join(seen.cwd.file_name()?);
            identity(seen, &dir)
        };
        Ok(found.into_iter().filter_map(identity).collect())
    }

    fn adopt(&self, id: &VmmIdentity) -> Result<(), EngineError> {
        self.ask(id, "query-status")?;
        // The starter may have died before QEMU read its first line; a second line does no harm.
        let pipe = id.dir().join(files::EVENTS_IN);
        let negotiated = launch::open_pipe(&pipe).and_then(|mut pipe| {
            std::io::Write::write_all(&mut pipe, launch::NEGOTIATE)
                .map_err(EngineError::io("write to the event pipe"))
        });
        if let Err(error) = negotiated {
            tracing::warn!(pid = id.pid, %error, "the cause of this VMM's end may stay unknown");
        }
        Ok(())
    }

    fn channel_is_open(&self, id: &VmmIdentity) -> Result<bool, EngineError> {
        let devices = self.ask(id, "query-chardev")?;
        is_channel_open(&devices).ok_or_else(|| EngineError::Protocol {
            socket: id.control_socket.clone(),
            reason: "it does not tell the channel's state".to_owned(),
        })
    }

    fn switch_disks(
        &self,
        id: &VmmIdentity,
        tops: &[NewTop],
        deadline: Duration,
    ) -> Result<(), EngineError> {
        let process = Process::open_living(&id.process(), &PROCESSES)?;
        let asked = Monitor::open(&id.control_socket, id.pid, deadline).and_then(|mut monitor| {
            let largest = disks::largest(&mut monitor)?;
            limit::raise(id.pid, jail::with_tables(largest))?;
            disks::switch(&mut monitor, tops)
        });
        match asked {
            Err(_) if hang::is_over(&process, id.dir())? => Err(EngineError::Gone { pid: id.pid }),
            asked => asked,
        }
    }

    fn resize_disk(&self, id: &VmmIdentity, serial: &str, bytes: u64) -> Result<(), EngineError> {
        let process = Process::open_living(&id.process(), &PROCESSES)?;
        // First: a write beyond the limit would be an error of the disk.
        limit::raise(id.pid, jail::with_tables(bytes))?;
        let asked = Monitor::open(&id.control_socket, id.pid, ANSWER_WITHIN)
            .and_then(|mut monitor| disks::resize(&mut monitor, serial, bytes));
        match asked {
            Err(_) if hang::is_over(&process, id.dir())? => Err(EngineError::Gone { pid: id.pid }),
            asked => asked,
        }
    }

    fn saved_key(&self, spec: &VmmSpec) -> Result<Option<String>, EngineError> {
        let version = || self.program.as_deref().and_then(probe::version);
        let version = self.version.get_or_init(version);
        match (&self.program, version) {
            (Some(program), Some(version)) => saved::key(program, version, spec, &self.host),
            _ => Ok(None),
        }
    }

    fn save(
        &self,
        id: &VmmIdentity,
        memory: &Path,
        state: &Path,
        deadline: Duration,
    ) -> Result<(), EngineError> {
        let began = Instant::now();
        let process = Process::open_living(&id.process(), &PROCESSES)?;
        let saved = Monitor::open(&id.control_socket, id.pid, deadline)
            .and_then(|mut monitor| saved::save(&mut monitor, state));
        match saved {
            Err(_) if hang::is_over(&process, id.dir())? => {
                return Err(EngineError::Gone { pid: id.pid });
            }
            saved => saved?,
        }
        self.quit(id, deadline.saturating_sub(began.elapsed()))?;
        for file in [memory, state] {
            owner::seal(file)?;
        }
        Ok(())
    }

    fn suspend(
        &self,
        id: &VmmIdentity,
        state: &Path,
        deadline: Duration,
    ) -> Result<(), EngineError> {
        let process = Process::open_living(&id.process(), &PROCESSES)?;
        let suspended = Monitor::open(&id.control_socket, id.pid, deadline)
            .and_then(|mut monitor| suspend::suspend(&mut monitor, id.pid, state));
        match suspended {
            Err(_) if hang::is_over(&process, id.dir())? => Err(EngineError::Gone { pid: id.pid }),
            Err(error) => {
                // Of its own deadline: that of the attempt may be over.
                let resumed = Monitor::open(&id.control_socket, id.pid, ANSWER_WITHIN)
                    .and_then(|mut monitor| suspend::give_up(&mut monitor));
                if let Err(error) = resumed {
                    tracing::warn!(pid = id.pid, %error, "a guest that was not suspended stands still");
                }
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn pause(&self, id: &VmmIdentity) -> Result<(), EngineError> {
        self.ask(id, "stop").map(drop)
    }

    fn resume(&self, id: &VmmIdentity) -> Result<(), EngineError> {
        // A guest that is being suspended would be stopped again at the end of that.
        self.ask(id, "migrate_cancel")?;
        self.ask(id, "cont").map(drop)
    }

    fn quit(&self, id: &VmmIdentity, deadline: Duration) -> Result<(), EngineError> {
        let began = Instant::now();
        let Found::Ours(process) = self.found(id)? else {
            return Ok(());
        };
        let asked = Monitor::open(&id.control_socket, id.pid, deadline.min(ANSWER_WITHIN))
            .and_then(|mut monitor| monitor.execute("quit"));
        // It may end before it answers: only its end counts. There is no wait for a monitor that could not be asked.
        let left = deadline.saturating_sub(began.elapsed());
        let wait = if asked.is_ok() {
            left
        } else {
            left.min(Duration::from_millis(500))
        };
        if hang::wait_for_end(&process, id.dir(), wait)? {
            self.children.status(&id.process());
            return Ok(());
        }
        asked?;
        Err(EngineError::Timeout {
            what: "the VMM did not end".to_owned(),
            after: deadline,
        })
    }

    fn kill(&self, id: &VmmIdentity, signal: Signal) -> Result<bool, EngineError> {
        match self.found(id)? {
            Found::Ours(process) => Ok(process.signal(signal)?),
            Found::Gone | Found::Other { .. } => Ok(false),
        }
    }

    fn wait_gone(&self, id: &VmmIdentity, deadline: Duration) -> Result<bool, EngineError> {
        let gone = match self.found(id)? {
            Found::Ours(process) => hang::wait_for_end(&process, id.dir(), deadline)?,
            Found::Gone | Found::Other { .. } => true,
        };
        if gone {
            // It is a zombie until it is reaped.
            self.children.status(&id.process());
        }
        Ok(gone)
    }

    fn forget(&self, dir: &Path) -> Result<(), EngineError> {
        group::remove(dir)
    }

    fn trim(&self, id: &VmmIdentity, console_max_bytes: u64) -> Result<(), EngineError> {
        trim::appended(&id.console_log, console_max_bytes)?;
        trim::appended(&id.dir().join(files::LOG), LOG_MAX_BYTES)?;
        trim::positioned(&id.dir().join(files::EVENTS_OUT), LOG_MAX_BYTES)
    }
}

/// Runs a monitor command; if the process ends in between, the error says so.
fn ask(process: &Process, id: &VmmIdentity, command: &'static str) -> Result<Value, EngineError> {
    let answer = Monitor::open(&id.control_socket, id.pid, ANSWER_WITHIN)
        .and_then(|mut monitor| monitor.execute(command));
    match answer {
        Err(_) if hang::is_over(process, id.dir())? => Err(EngineError::Gone { pid: id.pid }),
        answer => answer,
    }
}

fn is_qemu(exe: &Path) -> bool {
    exe.file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.contains("qemu-system"))
}

/// State of the channel in `query-chardev` (`qapi/char.json` of QEMU): `frontend-open` is the guest's side of the port.
fn is_channel_open(devices: &Value) -> Option<bool> {
    let channel = devices
        .as_array()?
        .iter()
        .find(|device| device.get("label").and_then(Value::as_str) == Some(files::CHANNEL_ID))?;
    channel.get("frontend-open")?.as_bool()
}

/// State for QEMU's run state (`RunState` in `qapi/run-state.json`).
fn state_of(status: &Value) -> VmmState {
    match status
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        // `shutdown` lasts only until the process ends.
        "running" | "shutdown" => VmmState::Running,
        "paused" => VmmState::Paused,
        "io-error" => VmmState::DiskError,
        other => VmmState::Blocked {
            reason: crate::text::printable(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_channel_open;

    #[test]
    fn the_state_of_the_channel_is_the_guests_side_of_it_and_nothing_else() {
        let device = |label: &str, open: serde_json::Value| json!({"label": label, "filename": "x", "frontend-open": open});
        let others = || device("events", json!(true));
        for open in [true, false] {
            let devices = json!([others(), device("channel", json!(open))]);
            assert_eq!(is_channel_open(&devices), Some(open));
        }
        for strange in [
            json!(null),
            json!([]),
            json!([1, "channel"]),
            json!([others()]),
            json!([device("channel", json!("yes"))]),
        ] {
            assert_eq!(is_channel_open(&strange), None, "{strange}");
        }
    }
}
