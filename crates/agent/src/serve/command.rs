//! From a request to a running process: its program, environment, directory, user and files.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use banger_guest::{ExecFailure, ExecFailureKind, ExecRequest, GuestPath};
use rustix::pipe::PipeFlags;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::process::Child;

use super::command_line::CommandLine;
use super::terminal::Terminal;
use super::terminfo;
use crate::accounts::{self, Account};
use crate::cgroup::CommandGroup;
use crate::console::say;
use crate::guest_state::{Defaults, Guest};
use crate::setup::files::Place;
use crate::sys::{ChildSetup, set_up_child};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Streams of a command.
pub(super) type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// See [`Input`].
pub(super) type Output = Box<dyn AsyncRead + Send + Unpin>;

/// A process that runs.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) stdin: Option<Input>,
    /// The other end of standard input, where what the command has not read can be counted.
    pub(super) unread: Option<OwnedFd>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    pub(super) terminal: Option<Terminal>,
    /// The command and all that it starts; `None` in guests without control groups.
    pub(super) group: Option<CommandGroup>,
}

/// Starts what a request asks for, or says why it cannot.
pub(super) fn start(request: &ExecRequest, guest: &Guest) -> Result<Running, ExecFailure> {
    let root = guest.machine().root();
    let defaults = guest.defaults();
    let user = request.user.as_deref().or(defaults.user.as_deref());
    let account = accounts::find(&root, user.unwrap_or("root")).map_err(|message| ExecFailure {
        kind: ExecFailureKind::User,
        message,
    })?;
    let env = environment(request, &defaults, &account, &root);
    let cwd = working_directory(request, &defaults, &account, &root)?;
    let line = CommandLine::of(request, &defaults, &account, &root)?;
    let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let program = look_up(&line.argv[0], path, &cwd)?;

    let mut command = std::process::Command::new(&program);
    command
        .args(&line.argv[1..])
        .env_clear()
        .envs(&env)
        .current_dir(&cwd);
    command.arg0(line.arg0.as_deref().unwrap_or(&line.argv[0]));
    let become_user = (account.uid != 0 || account.gid != 0)
        .then(|| (account.uid, account.gid, account.groups.clone()));
    let (group, entrance) = own_group(guest);
    set_up_child(
        &mut command,
        ChildSetup {
            controlling_terminal: request.tty.is_some(),
            become_user,
            group: entrance,
        },
    );
    let spawned = match &request.tty {
        Some(tty) => {
            let opened = Terminal::open(
                tty.rows,
                tty.cols,
                (account.uid != 0).then_some(account.uid),
            );
            opened.and_then(|(terminal, slave)| with_terminal(command, terminal, &slave))
        }
        None if request.stdin && request.reports => with_counted_input(command),
        None => with_pipes(command, request.stdin),
    };
    let running = spawned.map_err(|error| start_failure(&line.argv[0], &error))?;
    Ok(Running { group, ..running })
}

/// A control group for a command, and the way into it. A command for which there is none runs all the same.
fn own_group(guest: &Guest) -> (Option<CommandGroup>, Option<OwnedFd>) {
    let Some(folder) = guest.machine().command_groups() else {
        return (None, None);
    };
    let made = CommandGroup::make(&folder).and_then(|group| Ok((group.entrance()?, group)));
    match made {
        Ok((entrance, group)) => (Some(group), Some(entrance)),
        Err(error) => {
            say(format_args!("a command gets no control group: {error}"));
            (None, None)
        }
    }
}

fn with_terminal(
    mut command: std::process::Command,
    terminal: Terminal,
    slave: &OwnedFd,
) -> io::Result<Running> {
    command
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave.try_clone()?);
    let child = tokio::process::Command::from(command).spawn()?;
    let (stdin, stdout) = (terminal.try_clone()?, terminal.try_clone()?);
    Ok(Running {
        child,
        stdin: Some(Box::new(stdin)),
        unread: None,
        stdout: Some(Box::new(stdout)),
        stderr: None,
        terminal: Some(terminal),
        group: None,
    })
}

fn with_pipes(mut command: std::process::Command, stdin: bool) -> io::Result<Running> {
    command
        .stdin(if stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn()?;
    Ok(Running {
        stdin: child.stdin.take().map(|stdin| Box::new(stdin) as Input),
        unread: None,
        stdout: child.stdout.take().map(|stdout| Box::new(stdout) as Output),
        stderr: child.stderr.take().map(|stderr| Box::new(stderr) as Output),
        child,
        terminal: None,
        group: None,
    })
}

/// The same with a standard input whose other end is kept.
fn with_counted_input(mut command: std::process::Command) -> io::Result<Running> {
    let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    command
        .stdin(reading.try_clone()?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn()?;
    Ok(Running {
        stdin: Some(Box::new(pipe::Sender::from_owned_fd(writing)?)),
        unread: Some(reading),
        stdout: child.stdout.take().map(|stdout| Box::new(stdout) as Output),
        stderr: child.stderr.take().map(|stderr| Box::new(stderr) as Output),
        child,
        terminal: None,
        group: None,
    })
}

fn environment(
    request: &ExecRequest,
    defaults: &Defaults,
    account: &Account,
    root: &Path,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
        ("HOME".to_owned(), account.home.clone()),
        ("USER".to_owned(), account.name.clone()),
        ("LOGNAME".to_owned(), account.name.clone()),
        ("SHELL".to_owned(), account.shell.clone()),
    ]);
    if let Some(folder) = runtime_folder(account, root) {
        env.insert("XDG_RUNTIME_DIR".to_owned(), folder);
    }
    env.extend(defaults.env.clone());
    if let Some(tty) = &request.tty {
        let term = terminfo::usable(&tty.term, root, &account.home);
        env.insert("TERM".to_owned(), term.to_owned());
    }
    env.extend(request.env.clone());
    // An empty name or one with '=' cannot be passed (environ(7)); a NUL would end the start with a vague error.
    env.retain(|name, value| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    });
    env
}

/// The user's folder of sockets and the like, where the guest's init has made one (pam_systemd(8)): it must be the user's own.
fn runtime_folder(account: &Account, root: &Path) -> Option<String> {
    let folder = format!("/run/user/{}", account.uid);
    let found = std::fs::symlink_metadata(root.join(&folder[1..])).ok()?;
    (found.is_dir() && found.uid() == account.uid).then_some(folder)
}

fn working_directory(
    request: &ExecRequest,
    defaults: &Defaults,
    account: &Account,
    root: &Path,
) -> Result<PathBuf, ExecFailure> {
    if let Some(wanted) = &request.cwd {
        let path = root.join(wanted.relative());
        return match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(path),
            Ok(_) => Err(cwd_failure(wanted.as_str(), "is not a directory")),
            Err(error) => Err(cwd_failure(wanted.as_str(), &error.to_string())),
        };
    }
    if let Some(default) = &defaults.cwd {
        let path = root.join(default.relative());
        if !path.is_dir() {
            make_directory(root, default, account)
                .map_err(|error| cwd_failure(default.as_str(), &error.to_string()))?;
        }
        return Ok(path);
    }
    let home = root.join(account.home.trim_start_matches('/'));
    Ok(if home.is_dir() {
        home
    } else {
        root.to_path_buf()
    })
}

/// Makes the image's working directory, which its layers have not, as container engines do: the command must not run
/// elsewhere without a word. It is the user's.
fn make_directory(root: &Path, path: &GuestPath, account: &Account) -> io::Result<()> {
    let place = Place::open(root)?;
    place.directory(path.relative(), 0o755, (account.uid, account.gid))
}

fn cwd_failure(path: &str, why: &str) -> ExecFailure {
    ExecFailure {
        kind: ExecFailureKind::Cwd,
        message: format!("working directory {path}: {why}"),
    }
}

/// Finds a program as execvp(3) does, but tells apart what does not exist and what may not be run.
fn look_up(name: &str, path: &str, cwd: &Path) -> Result<PathBuf, ExecFailure> {
    let refuse = |kind, why| {
        Err(ExecFailure {
            kind,
            message: format!("{name}: {why}"),
        })
    };
    if name.is_empty() || name.contains('\0') {
        return refuse(ExecFailureKind::NotFound, "no such program");
    }
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![cwd.join(name)]
    } else {
        path.split(':')
            .map(|folder| cwd.join(folder).join(name))
            .collect()
    };
    let mut exists = false;
    for candidate in candidates {
        match std::fs::metadata(&candidate) {
            Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
                return Ok(candidate);
            }
            Ok(_) => exists = true,
            Err(_) => {}
        }
    }
    if exists {
        refuse(ExecFailureKind::Permission, "may not be run")
    } else {
        refuse(ExecFailureKind::NotFound, "no such program in the guest")
    }
}

fn start_failure(name: &str, error: &io::Error) -> ExecFailure {
    let (kind, hint) = match error.kind() {
        // The program was there a moment ago: its interpreter is what is missing (execve(2)).
        io::ErrorKind::NotFound => (ExecFailureKind::NotFound, ", or its interpreter is missing"),
        io::ErrorKind::PermissionDenied => (ExecFailureKind::Permission, ""),
        _ => (ExecFailureKind::Other, ""),
    };
    ExecFailure {
        kind,
        message: format!("{name}: {error}{hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gets_its_users_runtime_folder_when_there_is_one_that_is_the_users_own() {
        let root = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        let account = |uid| Account {
            name: "somebody".to_owned(),
            uid,
            gid: uid,
            groups: Vec::new(),
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        assert_eq!(runtime_folder(&account(uid), root.path()), None);
        let folder = root.path().join(format!("run/user/{uid}"));
        std::fs::create_dir_all(&folder).unwrap();
        let there = runtime_folder(&account(uid), root.path());
        assert_eq!(there, Some(format!("/run/user/{uid}")));

        // Another user's folder, and a link, are none.
        let other = root.path().join(format!("run/user/{}", uid + 1));
        std::fs::create_dir(&other).unwrap();
        assert_eq!(runtime_folder(&account(uid + 1), root.path()), None);
        std::fs::remove_dir(&other).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        std::os::unix::fs::symlink("/run", &folder).unwrap();
        assert_eq!(runtime_folder(&account(uid), root.path()), None);
    }
}
