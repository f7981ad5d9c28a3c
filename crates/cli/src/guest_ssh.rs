//! SSH to guests on this side: where its files are, and the configuration that OpenSSH's client is given.

use std::path::PathBuf;

use banger_api::vm::{Exec, Terminal};
use banger_api::{ApiError, ErrorCode, VmId};
use banger_client::{Client, ClientError, Upgraded};
use banger_daemon::{Config, Paths};
use banger_ssh::server::{Command, Guest, GuestStream};
use banger_ssh::{ClientConfig, KnownHosts, SshError, write_if_changed};

use crate::failure::{api_error, chain, host_error};

/// Variables that decide where banger keeps things.
const PLACES: [&str; 5] = [
    "BANGER_HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
];

/// The files of SSH to guests.
#[derive(Debug)]
pub struct GuestSsh<'a> {
    paths: &'a Paths,
}

impl<'a> GuestSsh<'a> {
    /// In these places.
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths }
    }

    /// The configuration of OpenSSH's client.
    pub fn config(&self) -> PathBuf {
        self.paths.ssh().join("config")
    }

    /// The keys of guests.
    pub fn known_hosts(&self) -> KnownHosts {
        KnownHosts::new(self.paths.ssh().join("known_hosts"))
    }

    /// A VM's public host key, as the daemon has made it.
    pub fn host_key(&self, vm: VmId) -> PathBuf {
        self.paths.vm(vm).ssh_host_key().with_extension("pub")
    }

    /// Tells whether there is anything of a VM on this host.
    pub fn exists(&self, vm: &str) -> bool {
        self.paths.places().parents().vms.join(vm).is_dir()
    }

    /// The configuration's text, which is also written to its file.
    ///
    /// # Errors
    /// The user's configuration is not valid, or a path cannot be told to ssh.
    pub fn write_config(&self) -> Result<String, ApiError> {
        let identity = match Config::load(self.paths.config())?.ssh_key_path {
            Some(path) => PathBuf::from(path),
            None => self.paths.ssh().join("id_ed25519"),
        };
        let program = std::env::current_exe()
            .map_err(|source| host_error("cannot tell where this program is", &source))?;
        let config = ClientConfig {
            program,
            environment: environment(),
            identity,
            known_hosts: self.known_hosts().path().to_owned(),
            hosts: self.paths.ssh_hosts(),
        };
        let text = config.text().map_err(|error| ssh_error(&error))?;
        write_if_changed(&self.config(), &text).map_err(|error| ssh_error(&error))?;
        Ok(text)
    }
}

/// Environment by which another start of this program finds the same daemon, whatever starts it.
fn environment() -> Vec<(String, String)> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    PLACES
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), set(name)?)))
        .collect()
}

/// The error that users see.
pub fn ssh_error(error: &SshError) -> ApiError {
    let told = |code| ApiError::new(code, chain(error));
    match error {
        SshError::Path { .. } => told(ErrorCode::InvalidArgument)
            .hint("set BANGER_HOME to a folder with a plain name, or install banger at one"),
        SshError::ReadOnly(_) | SshError::Dangling(_) | SshError::NotAFile(_) => told(
            ErrorCode::HostNotReady,
        )
        .hint(
            "add this line at its top yourself: banger ssh-config --json tells it as include_line",
        ),
        SshError::Unfenced { .. } => told(ErrorCode::HostNotReady)
            .hint("take the block away by hand, or write its last line again"),
        SshError::TooLarge { .. } | SshError::Io { .. } => told(ErrorCode::HostNotReady),
        SshError::HostKey(_) | SshError::Server(_) => told(ErrorCode::Internal),
    }
}

/// A running guest, as the server for guests without sshd reaches it.
#[derive(Debug)]
pub struct ReachedGuest {
    /// Calls to the daemon.
    pub client: Client,
    /// The VM.
    pub id: String,
}

const ROOT: &str = "root";
const ROOT_HOME: &str = "/root";

type Reached = Result<Box<dyn GuestStream>, String>;

impl Guest for ReachedGuest {
    async fn exec(&self, command: Command) -> Reached {
        let term = command.terminal.as_ref().map(|tty| tty.term.clone());
        let exec = Exec {
            argv: command.argv,
            env: command.env,
            // As sshd has it, whatever folder the image names for its commands.
            cwd: (command.user == ROOT).then(|| ROOT_HOME.to_owned()),
            user: Some(command.user),
            terminal: command.terminal.map(|tty| Terminal {
                rows: tty.rows,
                cols: tty.cols,
            }),
            term,
            stdin: true,
            ..Exec::default()
        };
        reached(self.client.vm_exec(&self.id, &exec).await)
    }

    async fn connect_port(&self, port: u16) -> Reached {
        reached(self.client.vm_connect(&self.id, port).await)
    }

    async fn connect_socket(&self, path: &str) -> Reached {
        reached(self.client.vm_connect_socket(&self.id, path).await)
    }
}

fn reached(result: Result<Upgraded, ClientError>) -> Reached {
    match result {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(api_error(error).message),
    }
}
