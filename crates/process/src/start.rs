//! Starting a process that lives on when its starter ends.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use banger_jail::Prepared;

use crate::{Children, Identity, Process, ProcessError, proc, sys};

/// Time for a killed process to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A program to run, and all that it gets.
#[derive(Debug)]
pub struct Start<'a> {
    /// The executable.
    pub program: &'a Path,
    /// Its arguments, the program's own name not among them. One of them carries `token`.
    pub args: &'a [OsString],
    /// Its whole environment; nothing is inherited.
    pub env: &'a [(OsString, OsString)],
    /// Its working directory.
    pub cwd: &'a Path,
    /// Its standard error. Standard input and output are `/dev/null`.
    pub stderr: File,
    /// Further descriptors that it gets, each under the number that it has here; no other one comes along.
    pub descriptors: Vec<OwnedFd>,
    /// Keeps huge pages (THP) from it, even when it asks the kernel for them.
    pub without_huge_pages: bool,
    /// The jail in which it is executed. Program, working directory and all that it opens must be part of it.
    pub jail: Option<Prepared>,
    /// Token in its arguments by which it is found when its pid is not known.
    pub token: &'a str,
}

impl Start<'_> {
    /// Starts it in a session of its own, without core dumps, with files private to the user. Returns when it has been executed.
    /// After an error no part of it runs.
    ///
    /// # Errors
    /// [`ProcessError::Io`] naming the program, [`ProcessError::Jail`] naming the layer.
    pub fn start(self, children: &Children) -> Result<(Process, Identity), ProcessError> {
        let boot_id = proc::boot_id()?;
        let program = self.program.to_owned();
        let token = self.token.to_owned();
        let mut child = self.spawn()?;
        let pid = child.id();
        // Until it is reaped its pid stays its own, so this opens no other process.
        let opened = Process::of_pid(pid).and_then(|process| {
            let ticks = proc::start_ticks(pid)?;
            process.zip(ticks).ok_or(ProcessError::Gone { pid })
        });
        let (process, start_ticks) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                stop(&mut child);
                return Err(error);
            }
        };
        if let Err(error) = children.reap(child, start_ticks) {
            end(&process);
            let what = format!("start the thread that waits for process {pid}");
            return Err(ProcessError::io(what)(error));
        }
        let identity = Identity {
            pid,
            start_ticks,
            boot_id,
            exe: program,
            token,
        };
        Ok((process, identity))
    }

    fn spawn(self) -> Result<Child, ProcessError> {
        let mut command = Command::new(self.program);
        command
            .args(self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.stderr);
        let kept = self.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        sys::isolate(&mut command, kept);
        if self.without_huge_pages {
            sys::without_huge_pages(&mut command);
        }
        let jail = self.jail.map(Arc::new);
        if let Some(jail) = &jail {
            Arc::clone(jail).hold(&mut command);
        }
        // `descriptors` lives until the child has its own.
        command
            .spawn()
            .map_err(|error| match jail.and_then(|jail| jail.failure()) {
                Some(failure) => failure.into(),
                None => ProcessError::io(format!("run {}", self.program.display()))(error),
            })
    }
}

fn end(process: &Process) {
    let ended = process.end(END_WITHIN);
    if !matches!(ended, Ok(true)) {
        tracing::warn!(?ended, "a process whose start failed has not ended");
    }
}

fn stop(child: &mut Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::warn!(pid = child.id(), %error, "cannot end a process whose start failed");
    }
}
