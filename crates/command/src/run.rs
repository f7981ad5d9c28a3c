//! The run itself: one thread, one poll loop.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_jail::{JailError, Layer, Prepared, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::lines::Lines;
use crate::program::Program;

/// Longest time before a cancel is noticed.
const TICK: Duration = Duration::from_millis(100);
/// Lines of the program's last words that an error carries.
const LAST_LINES: usize = 12;
/// Time for output that still comes after the program itself has ended (a grandchild holds the pipe).
const DRAIN: Duration = Duration::from_millis(500);

/// Failure of a run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program's name.
        program: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It could not be followed; it has been killed.
    #[error("lost {program} while it ran")]
    Follow {
        /// The program's name.
        program: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It ended with an error.
    #[error("{program} {}{}", how(*status), said(last_lines))]
    Failed {
        /// The program's name.
        program: String,
        /// Its exit status or signal.
        status: ExitStatus,
        /// The last lines of its output.
        last_lines: Vec<String>,
    },
    /// The caller asked to stop; it has ended.
    #[error("{program} was cancelled")]
    Cancelled {
        /// The program's name.
        program: String,
    },
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn said(last_lines: &[String]) -> String {
    if last_lines.is_empty() {
        String::new()
    } else {
        format!(": {}", last_lines.join(" | "))
    }
}

impl Program {
    /// Runs to the end; `on_line` gets each line of standard output and standard error as it comes.
    ///
    /// # Errors
    /// [`CommandError`]; with `Cancelled` soon after `cancel` returned `true` (it is asked every 100 ms).
    pub fn run(
        self,
        on_line: &mut dyn FnMut(&str),
        cancel: &dyn Fn() -> bool,
    ) -> Result<(), CommandError> {
        let program = self.name();
        let (mut running, mut last_lines) = (self.start()?, VecDeque::new());
        let mut keep = |line: &str| {
            if last_lines.len() == LAST_LINES {
                last_lines.pop_front();
            }
            last_lines.push_back(line.to_owned());
            on_line(line);
        };
        let ended = running.follow(&mut keep, cancel);
        match ended {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(CommandError::Failed {
                program,
                status,
                last_lines: last_lines.into(),
            }),
            Ok(None) => running.stop(self.grace).map_or_else(
                |source| {
                    Err(CommandError::Follow {
                        program: program.clone(),
                        source,
                    })
                },
                |()| {
                    Err(CommandError::Cancelled {
                        program: program.clone(),
                    })
                },
            ),
            Err(source) => {
                // The first error is the one to tell; the group is killed either way.
                let _ = running.stop(Duration::ZERO);
                Err(CommandError::Follow { program, source })
            }
        }
    }

    /// Runs to the end and returns the lines that it wrote to standard output and standard error, at most `limit`.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn lines(
        self,
        limit: usize,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Vec<String>, CommandError> {
        let mut lines = Vec::new();
        self.run(
            &mut |line| {
                if lines.len() < limit {
                    lines.push(line.to_owned());
                }
            },
            cancel,
        )?;
        Ok(lines)
    }

    fn start(&self) -> Result<Running, CommandError> {
        let failed = |source| CommandError::Start {
            program: self.name(),
            source,
        };
        let (read, write) = io::pipe().map_err(failed)?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(write.try_clone().map_err(failed)?)
            .stderr(write)
            .process_group(0);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let jail = self.jail.as_ref().map(prepared).transpose();
        let jail = jail.map_err(|error| failed(io::Error::other(error)))?;
        if let Some(jail) = &jail {
            Arc::clone(jail).hold(&mut command);
        }
        let child = command.spawn().map_err(|error| {
            failed(match jail.and_then(|jail| jail.failure()) {
                Some(failure) => io::Error::other(failure),
                None => error,
            })
        })?;
        // `command` holds the write end; dropped here, the pipe ends with the program.
        drop(command);
        Ok(Running {
            child,
            output: Some(File::from(OwnedFd::from(read))),
        })
    }
}

/// The jail, without the layer that this host does not have.
fn prepared(spec: &Spec) -> Result<Arc<Prepared>, JailError> {
    let made = match Prepared::new(spec) {
        Err(JailError::Absent {
            layer: Layer::Landlock,
        }) => Prepared::new(&Spec {
            landlock: false,
            ..spec.clone()
        }),
        made => made,
    };
    made.map(Arc::new)
}

struct Running {
    child: Child,
    output: Option<File>,
}

impl Running {
    /// `None` when cancelled.
    fn follow(
        &mut self,
        on_line: &mut dyn FnMut(&str),
        cancel: &dyn Fn() -> bool,
    ) -> io::Result<Option<ExitStatus>> {
        let (mut lines, mut ended) = (Lines::default(), None::<(ExitStatus, Instant)>);
        loop {
            if cancel() {
                return Ok(None);
            }
            self.read_some(&mut lines, on_line)?;
            if ended.is_none() {
                ended = self
                    .child
                    .try_wait()?
                    .map(|status| (status, Instant::now()));
            }
            if let Some((status, at)) = ended
                && (self.output.is_none() || at.elapsed() > DRAIN)
            {
                lines.end(on_line);
                return Ok(Some(status));
            }
        }
    }

    /// Waits one tick for output and passes it on.
    fn read_some(&mut self, lines: &mut Lines, on_line: &mut dyn FnMut(&str)) -> io::Result<()> {
        let Some(output) = &mut self.output else {
            // The program closed its outputs but runs on: there is nothing to wait for but its end.
            std::thread::sleep(Duration::from_millis(5));
            return Ok(());
        };
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: TICK.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&*output, PollFlags::IN)], Some(&tick)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 16 << 10];
        match output.read(&mut buffer)? {
            0 => self.output = None,
            read => lines.push(&buffer[..read], on_line),
        }
        Ok(())
    }

    /// Ends the whole group: SIGTERM, the grace time, SIGKILL. Output is thrown away so that no writer blocks.
    fn stop(&mut self, grace: Duration) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + grace;
        let mut discard = Lines::default();
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            self.read_some(&mut discard, &mut |_| {})?;
        }
        // The rest of the group must not live on, even when the leader has ended.
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let group = group.ok_or_else(|| io::Error::other("the process id does not fit"))?;
        match kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
