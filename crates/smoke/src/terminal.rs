//! A command at a real pseudo-terminal, used as a person would.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::binary::find_on_path;
use crate::process::{Capture, Invocation, ends_before, prefixed};
use crate::step::note;

/// A command that has a pseudo-terminal as its controlling terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    /// Kept open: the settings are read from it, and the master must not see an end too early.
    line: File,
    screen: Capture,
    /// Bytes of the screen that earlier expectations have consumed.
    seen: usize,
    at_start: Termios,
    deadline: Duration,
    reaped: bool,
}

impl Terminal {
    /// Starts `invocation` at a new terminal of `rows` × `columns` characters.
    ///
    /// # Panics
    /// Panics when the host gives no pseudo-terminal or the command cannot be started.
    pub fn start(invocation: Invocation, rows: u16, columns: u16) -> Self {
        note(&format!(
            "$ {}   (at a terminal of {rows} x {columns})",
            invocation.shown()
        ));
        match Self::try_start(invocation, rows, columns) {
            Ok(terminal) => terminal,
            Err(error) => panic!("cannot start a command at a terminal: {error}"),
        }
    }

    fn try_start(invocation: Invocation, rows: u16, columns: u16) -> std::io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = PathBuf::from(ptsname(&master, Vec::new())?.to_string_lossy().into_owned());
        tcsetwinsize(&master, size(rows, columns))?;
        let nocty = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nocty)
            .open(name)?;
        let at_start = tcgetattr(&line)?;
        let (command, deadline) = invocation.into_command();
        let child = in_own_session(&command)
            .stdin(Stdio::from(OwnedFd::from(line.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(line.try_clone()?)))
            .stderr(Stdio::from(OwnedFd::from(line.try_clone()?)))
            .spawn()?;
        let master = File::from(master);
        let screen = Capture::of(master.try_clone()?);
        Ok(Self {
            child,
            master,
            line,
            screen,
            seen: 0,
            at_start,
            deadline,
            reaped: false,
        })
    }

    /// Types keys.
    ///
    /// # Panics
    /// Panics when the terminal is gone.
    pub fn type_keys(&mut self, keys: &str) {
        if let Err(error) = self.master.write_all(keys.as_bytes()) {
            panic!(
                "cannot type {keys:?}: {error}; the screen:\n{}",
                self.screen()
            );
        }
    }

    /// Waits until the screen shows `text` behind the matches of earlier expectations.
    ///
    /// # Panics
    /// Panics when it does not appear before the deadline.
    pub fn expect(&mut self, text: &str) {
        let due = Instant::now() + self.deadline;
        match self.screen.wait_for(text, self.seen, due) {
            Some(end) => self.seen = end,
            None => panic!(
                "the terminal never showed {text:?}; the screen:\n{}",
                self.screen()
            ),
        }
    }

    /// All output so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.so_far()).into_owned()
    }

    /// Makes the window another size; the kernel sends SIGWINCH to the foreground group.
    ///
    /// # Panics
    /// Panics when the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        if let Err(error) = tcsetwinsize(&self.master, size(rows, columns)) {
            panic!("cannot resize: {error}");
        }
    }

    /// Tells whether keys reach the command one by one, without echo, as a full-screen program needs it.
    pub fn is_raw(&self) -> bool {
        tcgetattr(&self.line).is_ok_and(|now| {
            !now.local_modes
                .intersects(LocalModes::ICANON | LocalModes::ECHO)
        })
    }

    /// Tells whether the terminal's settings are those from before the command.
    pub fn is_restored(&self) -> bool {
        tcgetattr(&self.line).is_ok_and(|now| {
            now.local_modes == self.at_start.local_modes
                && now.input_modes == self.at_start.input_modes
                && now.output_modes == self.at_start.output_modes
                && now.control_modes == self.at_start.control_modes
        })
    }

    /// Sends a signal to the command's process group.
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.pid(), signal) {
            panic!("cannot signal the command at the terminal: {error}");
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the command's end and returns its exit code, or 128 + the signal that ended it.
    ///
    /// # Panics
    /// Panics when it does not end within the deadline.
    pub fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        let in_time = ends_before(self.pid(), Instant::now() + self.deadline);
        assert!(
            in_time,
            "the command at the terminal did not end; the screen:\n{}",
            self.screen()
        );
        match self.child.wait() {
            Ok(status) => {
                self.reaped = true;
                status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
            }
            Err(error) => panic!("cannot wait for the command at the terminal: {error}"),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// `setsid --ctty` makes standard input the controlling terminal and then becomes the command (setsid(1)): the same
/// process id, and no unsafe code between fork and exec here.
fn in_own_session(command: &Command) -> Command {
    let setsid = find_on_path("setsid").unwrap_or_else(|| PathBuf::from("setsid"));
    prefixed(command, &setsid, &["--ctty", "--"])
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
