//! Network processes of VMs: this very program, started beside a VMM, in a jail of its own.
//!
//! ```text
//! net.json, net.log in the VM's run folder ─► banger internal net ─► net.control answers, says what it does not listen at
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_api::{ApiError, ErrorCode};
use banger_engine::{Engine, JailMode, VmmIdentity};
use banger_jail::{Layers, Prepared};
use banger_net_control::{Client, NET_CONFIG, NET_LOG, NetConfig, NetIdentity};
use banger_ops::HostResult;
use banger_ops::steps::{NetLaunch, NetStarted};
use banger_process::{Children, Found, Identity, Process, ProcessError, Program, Seen, Start};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::failure::chain;
use crate::upstream::Upstream;

/// Pause between two looks whether a process answers.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Time for an answer of a process that runs.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Bytes of its log that an error shows.
const SAID_MAX_BYTES: usize = 2048;

const PROCESSES: Program = Program {
    // The token is a launch's alone; the program may have been replaced by another build since.
    is_executable: |_| true,
    token_of: banger_net::token_of,
};

/// Network processes that this daemon starts.
pub(crate) struct Networks {
    children: Children,
    program: PathBuf,
    jail: JailMode,
    upstream: Option<Upstream>,
}

impl Networks {
    pub(crate) fn new(jail: JailMode, upstream: Option<Upstream>) -> Self {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        Self {
            children: Children::default(),
            program: program.canonicalize().unwrap_or(program),
            jail,
            upstream,
        }
    }

    pub(super) fn start(
        &self,
        launch: &NetLaunch,
        vmm: &VmmIdentity,
        engine: &dyn Engine,
        deadline: Duration,
    ) -> HostResult<NetStarted> {
        let began = Instant::now();
        let mut config = launch.config.clone();
        // The process follows no link to it.
        if let Ok(real) = config.dns.resolv_conf.canonicalize() {
            config.dns.resolv_conf = real;
        }
        config.proxy = self.upstream.as_ref().map(Upstream::found);
        let mut wanted = match self.jail {
            JailMode::Off => Layers::NONE,
            JailMode::Auto | JailMode::Require => Layers::FULL,
        };
        let (process, identity) = loop {
            match self.spawn(launch, &config, vmm, engine, wanted) {
                Err(Failed::Process(ProcessError::Jail(error))) if self.jail == JailMode::Auto => {
                    match wanted.without(&error) {
                        Some(less) => wanted = less,
                        None => return Err(Failed::Process(error.into()).told()),
                    }
                }
                other => break other.map_err(Failed::told)?,
            }
        };
        let mut client = self.answering(
            &process,
            &identity,
            deadline.saturating_sub(began.elapsed()),
        )?;
        let status = client.status().map_err(|error| failed(chain(&error)))?;
        let unpublished = status.publish.into_iter().filter_map(|one| {
            let cause = one.failure?;
            let (ip, port) = (one.port.host_ip, one.port.host_port);
            Some(format!(
                "host port {port} cannot be published at {ip}: {cause}"
            ))
        });
        Ok(NetStarted {
            identity,
            unpublished: unpublished.collect(),
        })
    }

    /// One try, with exactly these layers.
    fn spawn(
        &self,
        launch: &NetLaunch,
        config: &NetConfig,
        vmm: &VmmIdentity,
        engine: &dyn Engine,
        wanted: Layers,
    ) -> Result<(Process, NetIdentity), Failed> {
        let dir = &launch.dir;
        let path = dir.join(NET_CONFIG);
        let json = serde_json::to_vec(config).map_err(|error| Failed::Told(error.to_string()))?;
        private(&path, true)?
            .write_all(&json)
            .map_err(io("write", &path))?;
        let log_path = dir.join(NET_LOG);
        let log = private(&log_path, false)?;
        banger_net::prepare(config)
            .map_err(|error| Failed::Told(format!("the audit log cannot be made: {error}")))?;
        let mut spec = banger_net::jail_spec(config, &self.program, &path, wanted);
        spec.user = launch.user;
        let prepared = Prepared::new(&spec).map_err(|error| Failed::Process(error.into()))?;
        if rustix::process::geteuid().is_root() {
            let owner = Some(prepared.layers().user.unwrap_or(0));
            let audit = config
                .audit
                .iter()
                .flat_map(|folder| banger_net_control::AUDIT_FILES.map(|name| folder.join(name)));
            for file in [path.clone(), log_path].into_iter().chain(audit) {
                std::os::unix::fs::lchown(&file, owner, owner).map_err(io("give", &file))?;
            }
        }
        let pidfd = watched(vmm, engine)?;
        let args = banger_net::arguments(&banger_net::StartArgs {
            config: path,
            token: config.launch_token.clone(),
            vmm_pidfd: Some(pidfd.as_raw_fd()),
        });
        let start = Start {
            program: &self.program,
            args: &args,
            env: &[],
            cwd: &spec.cwd,
            stderr: log,
            descriptors: vec![pidfd],
            without_huge_pages: false,
            jail: Some(prepared),
            token: &config.launch_token,
        };
        let (process, identity) = start.start(&self.children).map_err(Failed::Process)?;
        Ok((process, recorded(identity, dir)))
    }

    /// A conversation with a process that has just been started.
    fn answering(
        &self,
        process: &Process,
        net: &NetIdentity,
        within: Duration,
    ) -> HostResult<Client> {
        let began = Instant::now();
        let mut look_again = Duration::ZERO;
        loop {
            if process
                .has_ended(look_again)
                .map_err(|error| failed(chain(&error)))?
            {
                let said = said(&net.dir.join(NET_LOG));
                return Err(failed(format!("the network process has ended: {said}")));
            }
            look_again = LOOK_AGAIN;
            match conversation(net, ANSWER_WITHIN) {
                Ok(Some(client)) => return Ok(client),
                Ok(None) | Err(_) if began.elapsed() < within => {}
                Ok(None) => return Err(failed("another process listens in its place".to_owned())),
                Err(error) => {
                    let message = format!("the network process does not answer: {}", error.message);
                    return Err(ApiError::new(ErrorCode::Timeout, message));
                }
            }
        }
    }

    pub(super) fn find(&self, token: &str, dir: &Path) -> HostResult<Option<NetIdentity>> {
        let found = banger_process::find(&PROCESSES, token, dir, None);
        let found = found.map_err(|error| failed(chain(&error)))?;
        Ok(found.map(|seen| recorded(seen.identity, dir)))
    }

    pub(super) fn list(&self, run: &Path) -> HostResult<Vec<NetIdentity>> {
        let found = banger_process::list(&PROCESSES, run);
        let found = found.map_err(|error| failed(chain(&error)))?;
        let identity = |seen: Seen| {
            let dir = run.join(seen.cwd.file_name()?);
            Some(recorded(seen.identity, &dir))
        };
        Ok(found.into_iter().filter_map(identity).collect())
    }

    pub(super) fn answers(&self, net: &NetIdentity) -> HostResult<bool> {
        match self.open(net)? {
            Found::Ours(_) => Ok(matches!(conversation(net, ANSWER_WITHIN), Ok(Some(_)))),
            Found::Gone | Found::Other { .. } => Ok(false),
        }
    }

    pub(super) fn end(&self, net: &NetIdentity, deadline: Duration) -> HostResult<()> {
        let Found::Ours(process) = self.open(net)? else {
            return Ok(());
        };
        match process
            .end(deadline)
            .map_err(|error| failed(chain(&error)))?
        {
            true => {
                // It is a zombie until it is reaped.
                self.children.status(&process_identity(net));
                Ok(())
            }
            false => {
                let message = format!("network process {} still runs", net.pid);
                Err(ApiError::new(ErrorCode::Timeout, message))
            }
        }
    }

    fn open(&self, net: &NetIdentity) -> HostResult<Found> {
        let opened = Process::open(&process_identity(net), &PROCESSES);
        opened.map_err(|error| failed(chain(&error)))
    }
}

/// A conversation with the very process; `None` when another one listens in its place.
pub(crate) fn conversation(net: &NetIdentity, within: Duration) -> HostResult<Option<Client>> {
    let client = Client::connect(&net.control(), within).map_err(|error| failed(chain(&error)))?;
    let peer = client.peer_pid().map_err(|error| failed(chain(&error)))?;
    let is_it = peer == net.pid && client.hello().token == net.token;
    Ok(is_it.then_some(client))
}

/// The pidfd of a VMM that lives.
fn watched(vmm: &VmmIdentity, engine: &dyn Engine) -> Result<std::os::fd::OwnedFd, Failed> {
    let gone = || Failed::Told(format!("VMM process {} has ended", vmm.pid));
    let pid = i32::try_from(vmm.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(gone)?;
    let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_gone| gone())?;
    // The pid is opened first: when it is the VMM's now, it was then.
    match super::vmm::exit(engine, vmm) {
        Ok(None) => Ok(fd),
        _ => Err(gone()),
    }
}

enum Failed {
    Process(ProcessError),
    Told(String),
}

impl Failed {
    fn told(self) -> ApiError {
        failed(match self {
            Self::Process(error) => chain(&error),
            Self::Told(told) => told,
        })
    }
}

fn failed(cause: String) -> ApiError {
    let message = format!("the VM's network: {cause}");
    ApiError::new(ErrorCode::VmmFailed, message)
}

fn io<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Failed + 'a {
    move |error| Failed::Told(format!("cannot {what} {}: {error}", path.display()))
}

/// A file of 0600: emptied, or appended to.
fn private(path: &Path, empty: bool) -> Result<File, Failed> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .write(true)
        .truncate(empty)
        .append(!empty)
        .mode(0o600);
    options.open(path).map_err(io("write", path))
}

fn said(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let last = &text[text.len().saturating_sub(SAID_MAX_BYTES)..];
    let text = String::from_utf8_lossy(last);
    let line = text.lines().next_back().unwrap_or_default();
    match line.is_empty() {
        true => "it said nothing".to_owned(),
        false => line.chars().filter(|char| !char.is_control()).collect(),
    }
}

fn recorded(identity: Identity, dir: &Path) -> NetIdentity {
    NetIdentity {
        pid: identity.pid,
        start_ticks: identity.start_ticks,
        boot_id: identity.boot_id,
        exe: identity.exe,
        token: identity.token,
        dir: dir.to_owned(),
    }
}

fn process_identity(net: &NetIdentity) -> Identity {
    Identity {
        pid: net.pid,
        start_ticks: net.start_ticks,
        boot_id: net.boot_id.clone(),
        exe: net.exe.clone(),
        token: net.token.clone(),
    }
}
