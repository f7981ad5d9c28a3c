//! Start of the process, and what whoever starts it prepares.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use banger_jail::{Access, Item, Layers, Network, Spec};
use banger_net_control::{NET_CONFIG_VERSION, NetConfig};
use thiserror::Error;

use crate::{audit_log, memory, process};

/// Longest configuration, bytes.
const CONFIG_MAX_BYTES: u64 = 2 << 20;
/// Exit code of a configuration that cannot be read.
const EXIT_CONFIG: u8 = 2;
/// Libraries and the dynamic linker, and the devices of every program: nothing in them is private to anybody.
const SYSTEM: [&str; 8] = [
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/nix/store",
    "/gnu/store",
    "/dev/urandom",
];
/// Descriptors: two a connection would be too many, for the guest's side needs none.
const DESCRIPTORS: u64 = 8192;
/// Longest file: one of the two of the audit log, and room.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// A process that cannot be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot be read.
    #[error("the network's configuration {} cannot be read: {source}", path.display())]
    Config {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The configuration is not one, or one that is not served.
    #[error("the network's configuration {} cannot be served: {reason}", path.display())]
    Unserved {
        /// Its path.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The process could not be sealed.
    #[error("the network process cannot give up exec: {0}")]
    Seal(#[from] banger_jail::JailError),
    /// It cannot serve.
    #[error("the network process cannot serve: {0}")]
    Serve(io::Error),
}

/// Arguments of `banger internal net`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartArgs {
    /// The configuration's path.
    pub config: PathBuf,
    /// Token of the launch; the configuration has the same.
    pub token: String,
    /// Number of an inherited descriptor that is the VMM's pidfd.
    pub vmm_pidfd: Option<RawFd>,
}

/// Reads a configuration.
///
/// # Errors
/// [`StartError::Config`], [`StartError::Unserved`]: nothing is served by a policy that cannot be read.
pub fn read_config(path: &Path) -> Result<NetConfig, StartError> {
    let failed = |source| StartError::Config {
        path: path.to_owned(),
        source,
    };
    let unserved = |reason: String| StartError::Unserved {
        path: path.to_owned(),
        reason,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > CONFIG_MAX_BYTES {
        return Err(unserved(format!(
            "it has {length} bytes, more than {CONFIG_MAX_BYTES}"
        )));
    }
    let text = fs::read(path).map_err(failed)?;
    let config: NetConfig =
        serde_json::from_slice(&text).map_err(|error| unserved(error.to_string()))?;
    if config.version > NET_CONFIG_VERSION {
        let (found, known) = (config.version, NET_CONFIG_VERSION);
        return Err(unserved(format!(
            "version {found}; this banger reads {known}"
        )));
    }
    let limits = config.policy.check_limits();
    limits.map_err(|error| unserved(error.to_string()))?;
    Ok(config)
}

/// Makes the files that the process writes and its jail does not let it make. Called before each start.
///
/// # Errors
/// They cannot be made.
pub fn prepare(config: &NetConfig) -> io::Result<()> {
    match &config.audit {
        Some(folder) => audit_log::make_files(folder).map(drop),
        None => Ok(()),
    }
}

/// The jail of the process: the program, its libraries, its sockets' folder, its log and the file of name servers.
///
/// All sockets of `config` are in one folder, which is the working directory. [`prepare`] has been called.
#[must_use]
pub fn jail_spec(config: &NetConfig, program: &Path, config_path: &Path, wanted: Layers) -> Spec {
    let folder = config.link.own.parent().unwrap_or(Path::new("/"));
    let cwd = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let system = |path| Item::optional(path, Access::Execute);
    let mut items: Vec<Item> = SYSTEM.into_iter().map(system).collect();
    items.push(Item::optional("/dev/null", Access::Device));
    items.push(Item::new(program, Access::Execute));
    items.push(Item::new(cwd.clone(), Access::MakeSockets));
    if !config_path.starts_with(&cwd) {
        items.push(Item::new(config_path, Access::Read));
    }
    if let Some(folder) = &config.audit {
        let files = banger_net_control::AUDIT_FILES.map(|name| folder.join(name));
        items.extend(files.map(|path| Item::new(path, Access::Write)));
    }
    items.push(name_servers(&config.dns.resolv_conf));
    items.dedup();
    let ports = config.publish.iter().map(|port| port.host_port).collect();
    Spec {
        items,
        cwd,
        network: Network::Connect(ports),
        file_max_bytes: FILE_MAX_BYTES,
        descriptors_max: DESCRIPTORS,
        user: None,
        group: None,
        namespaces: wanted.namespaces,
        landlock: wanted.landlock_abi.is_some(),
        seccomp: wanted.seccomp,
    }
}

/// The file of name servers, or its folder where that is a resolver's own: such a file is replaced, not written.
fn name_servers(file: &Path) -> Item {
    let folder = file.parent().filter(|folder| folder.starts_with("/run"));
    let is_own = folder.is_some_and(|folder| folder != Path::new("/run"));
    let path = match folder {
        Some(folder) if is_own => folder,
        _ => file,
    };
    Item::optional(path, Access::Read)
}

/// Begin of the argument with the token, in one word: by it the process is found when its pid is not known.
const TOKEN: &str = "--token=";

/// The token in this argument of a network process, if it has one.
#[must_use]
pub fn token_of(argument: &OsStr) -> Option<&str> {
    argument.to_str()?.strip_prefix(TOKEN)
}

/// Arguments with which the process is started.
#[must_use]
pub fn arguments(args: &StartArgs) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["internal".into(), "net".into(), "--config".into()];
    words.push(args.config.clone().into());
    words.push(format!("{TOKEN}{}", args.token).into());
    if let Some(fd) = args.vmm_pidfd {
        words.push("--vmm-pidfd".into());
        words.push(fd.to_string().into());
    }
    words
}

/// Serves until the VMM ends or the daemon says so. For a process of its own that has one thread.
#[must_use]
pub fn run(args: &StartArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(format_args!("{error}"));
            match error {
                StartError::Config { .. } | StartError::Unserved { .. } => {
                    ExitCode::from(EXIT_CONFIG)
                }
                StartError::Seal(_) | StartError::Serve(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn serve(args: &StartArgs) -> Result<(), StartError> {
    memory::prepare();
    let mut config = read_config(&args.config)?;
    if config.launch_token != args.token {
        return Err(StartError::Unserved {
            path: args.config.clone(),
            reason: "it is of another launch".to_owned(),
        });
    }
    let vmm = args.vmm_pidfd.map(inherited).transpose()?;
    leave_no_core();
    enter_folder(&mut config)?;
    banger_jail::refuse_exec()?;
    process::serve(config, vmm).map_err(StartError::Serve)
}

/// Keeps the memory, in which secrets may be, out of core dumps. With 1 the kernel gives a core to no program either (it is the limit
/// of such programs themselves); where the host allows none at all, that stays.
fn leave_no_core() {
    let limit = Some(1);
    let limit = rustix::process::Rlimit {
        current: limit,
        maximum: limit,
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, limit);
}

/// Makes the folder of the sockets the working directory: their names alone always fit into an address.
fn enter_folder(config: &mut NetConfig) -> Result<(), StartError> {
    let folder = config.link.own.parent().map(Path::to_owned);
    let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    for path in [
        &mut config.link.own,
        &mut config.link.peer,
        &mut config.control,
    ] {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && parent == folder
        {
            *path = PathBuf::from(name);
        }
    }
    // Other paths of it stay what they are.
    config.audit = config
        .audit
        .take()
        .map(std::path::absolute)
        .transpose()
        .map_err(StartError::Serve)?;
    std::env::set_current_dir(&folder).map_err(StartError::Serve)
}

#[allow(unsafe_code)] // the number of an inherited descriptor becomes its owner, once
fn inherited(fd: RawFd) -> Result<OwnedFd, StartError> {
    let missing = || StartError::Serve(io::Error::from(io::ErrorKind::NotFound));
    if fd <= 2 {
        return Err(missing());
    }
    // SAFETY: the number is only looked at; when it is not open the call fails.
    let seen = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_getfd(seen).map_err(|_closed| missing())?;
    // SAFETY: it is open, was inherited for this purpose, and nothing else in the process knows the number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Writes a line to standard error, which is the process's log.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    use std::io::Write as _;
    // There is nowhere else to tell it.
    let _ = writeln!(io::stderr(), "{line}");
}
